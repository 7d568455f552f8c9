package badger

import (
	"context"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// migrate brings a database of an older format up to date before anything else is done with it. It may be interrupted and begin anew: the
// marker, which tells the format, is written after it.
func (e *Engine) migrate(ctx context.Context, format int) error {
	txn := e.db.NewTransaction(false)
	defer txn.Discard()
	r := snapshot{txn: txn, damages: e.damages}
	_, found, err := loadContents(r)
	if isDamage(err) {
		found, err = false, r.stepOver(err) // nothing is easier to replace
	}
	if err != nil || (found && format > 2) {
		return err
	}
	write := e.db.NewTransaction(true)
	defer write.Discard()
	if !found {
		contents, err := countContents(ctx, r)
		if err != nil {
			return err
		}
		value, err := encodeContents(contents)
		if err != nil {
			return err
		}
		if err := write.Set(contentsKey, value); err != nil {
			return err
		}
	}
	if format <= 2 {
		if err := write.Set(makeSmallKey, []byte{}); err != nil { // for the purges that come
			return err
		}
	}
	if err := write.Commit(); err != nil {
		e.failure.note("migrate", err)
		return e.failure.err()
	}
	return nil
}

// countContents counts and sums up all records but damaged ones: they are in no move.
func countContents(ctx context.Context, r reader) (map[transfer.Kind]transfer.Content, error) {
	contents := map[transfer.Kind]transfer.Content{}
	for _, kind := range transfer.Kinds {
		t := tableOfKind(kind)
		c := contents[kind]
		err := r.scan(t.prefix, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if err != nil {
				return false, err
			}
			record, err := recordOf(t, k, v)
			if err != nil {
				return true, r.stepOver(err)
			}
			c.Add(record)
			return true, ctx.Err()
		})
		if err != nil {
			return nil, err
		}
		if c != (transfer.Content{}) {
			contents[kind] = c
		}
	}
	return contents, nil
}
