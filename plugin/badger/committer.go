package badger

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of one transaction. Badger takes about 10 MB or 100,000 keys; a single change stays far below the rest.
const (
	maxGroup      = 512
	maxGroupKeys  = 20_000
	maxGroupBytes = 4 << 20
)

// committer applies changes one after another, as many as are waiting in one transaction, and so with one sync of the disk. It is the
// database's only writer. Each change is answered alone: one that fails leaves no trace in the transaction of its neighbours.
type committer struct {
	db      *badger.DB
	changes chan *change
	stopped chan struct{}
}

type change struct {
	apply func(tx *tx) error
	err   error
	done  chan struct{}
}

func newCommitter(db *badger.DB) *committer {
	c := &committer{db: db, changes: make(chan *change, maxGroup), stopped: make(chan struct{})}
	go c.run()
	return c
}

// close applies what is waiting and ends. Nobody may call do afterwards: Engine.gate sees to it.
func (c *committer) close() {
	close(c.changes)
	<-c.stopped
}

// do has the change applied and waits until it is durable.
func (c *committer) do(ctx context.Context, apply func(tx *tx) error) error {
	ch := &change{apply: apply, done: make(chan struct{})}
	select {
	case c.changes <- ch:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-ch.done:
		return ch.err
	case <-ctx.Done():
		return fmt.Errorf("%w: outcome unknown: %w", ticketstore.ErrUnavailable, ctx.Err())
	}
}

func (c *committer) run() {
	defer close(c.stopped)
	for first := range c.changes {
		c.commit(first)
	}
}

// commit applies first and whatever else is waiting.
func (c *committer) commit(first *change) {
	txn := c.db.NewTransaction(true)
	defer txn.Discard()
	var group []*change
	keys, size := 0, 0
	for next := first; next != nil; {
		group = append(group, next)
		t := &tx{snapshot: snapshot{txn}, writes: map[string]write{}}
		if next.err = next.apply(t); next.err == nil {
			keys, size = keys+len(t.writes), size+t.size
			if err := t.flush(); err != nil {
				// Part of a change may be in the transaction: nobody's can be committed.
				finish(group, unavailable("write", err))
				return
			}
		}
		next = nil
		if len(group) < maxGroup && keys < maxGroupKeys && size < maxGroupBytes {
			next = c.waiting()
		}
	}
	var err error
	if keys > 0 {
		err = unavailable("commit", txn.Commit())
	}
	finish(group, err)
}

// waiting returns the next change if one is there.
func (c *committer) waiting() *change {
	select {
	case ch := <-c.changes: // nil once closed and drained
		return ch
	default:
		return nil
	}
}

// finish answers a group. A change that had failed by itself keeps its own error.
func finish(group []*change, err error) {
	for _, ch := range group {
		if ch.err == nil {
			ch.err = err
		}
		close(ch.done)
	}
}

func unavailable(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %w", ticketstore.ErrUnavailable, doing, err)
}

// tx is one change in the making. It reads what was written before, by itself too, but iterates over what earlier changes wrote
// only: look first, then write. Its writes reach the transaction when the change has succeeded.
type tx struct {
	snapshot
	writes map[string]write
	order  []string
	size   int
}

type write struct {
	value   []byte
	deleted bool
}

func (t *tx) get(k []byte) ([]byte, error) {
	if w, ok := t.writes[string(k)]; ok {
		if w.deleted {
			return nil, nil
		}
		return w.value, nil
	}
	return t.snapshot.get(k)
}

func (t *tx) put(k, value []byte) { t.write(k, write{value: value}) }
func (t *tx) delete(k []byte)     { t.write(k, write{deleted: true}) }

func (t *tx) write(k []byte, w write) {
	name := string(k)
	if _, again := t.writes[name]; !again {
		t.order = append(t.order, name)
	}
	t.writes[name] = w
	t.size += len(k) + len(w.value)
}

func (t *tx) flush() error {
	for _, name := range t.order {
		w := t.writes[name]
		var err error
		if w.deleted {
			err = t.txn.Delete([]byte(name))
		} else {
			err = t.txn.Set([]byte(name), w.value)
		}
		if err != nil {
			return fmt.Errorf("%d bytes under %d keys: %w", t.size, len(t.order), err)
		}
	}
	return nil
}

// reader is what judging and listing need: a snapshot, or a change in the making.
type reader interface {
	// get returns nil where there is nothing.
	get(k []byte) ([]byte, error)
	// scan calls f for each key that starts with prefix, from the key from on (nil: from the prefix's end of that direction), in descending
	// order when reverse. The key is f's to keep; value reads its value. It stops when f returns false.
	scan(prefix, from []byte, reverse, values bool, f func(k []byte, value func() ([]byte, error)) (bool, error)) error
}

type snapshot struct{ txn *badger.Txn }

func (s snapshot) get(k []byte) ([]byte, error) {
	item, err := s.txn.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable("read", err)
	}
	value, err := item.ValueCopy(nil)
	return value, unavailable("read", err)
}

func (s snapshot) scan(prefix, from []byte, reverse, values bool,
	f func(k []byte, value func() ([]byte, error)) (bool, error),
) error {
	o := badger.DefaultIteratorOptions
	o.PrefetchValues, o.PrefetchSize, o.Reverse, o.Prefix = values, 64, reverse, prefix
	it := s.txn.NewIterator(o)
	defer it.Close()
	switch {
	case from != nil:
	case reverse:
		// Badger seeks to the last key at or before the given one.
		from = append(append([]byte{}, prefix...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	default:
		from = prefix
	}
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		item := it.Item()
		goOn, err := f(item.KeyCopy(nil), func() ([]byte, error) {
			value, err := item.ValueCopy(nil)
			return value, unavailable("read", err)
		})
		if err != nil || !goOn {
			return err
		}
	}
	return nil
}
