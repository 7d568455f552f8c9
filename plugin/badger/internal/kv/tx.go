package kv

// Tx: one change, which reads its own writes and joins a group.

import (
	"errors"
	"strings"
	"unsafe"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
)

// Reader is what judging and listing need: a snapshot, or a change in the making.
type Reader interface {
	// Get returns nil where there is nothing.
	Get(k []byte) ([]byte, error)
	// Scan calls f for each key that starts with prefix, from the key from on (nil: from the prefix's end of
	// that direction), in descending order when reverse. The key is f's to keep; value reads its value. It
	// stops when f returns false.
	Scan(prefix, from []byte, reverse bool, f Visit) error
	// StepOver logs a damaged row, and is nil then. Other errors it returns.
	StepOver(err error) error
}

// Visit is called with a row, and says whether to go on.
type Visit func(k []byte, value func() ([]byte, error)) (goOn bool, err error)

// Tx is one change in the making. It reads what it has written itself, but scans what earlier changes have
// written only: look first, then write. Its writes join the group when the change has succeeded.
type Tx struct {
	*group
	writes map[string]write
	// gathered are the ids for rows that the changes of a transaction share.
	gathered []gathered
	// Wrote counts the writes.
	Wrote int
	// ledger replaces the group's when the change joins it.
	ledger *recordpb.Ledger
	// recount asks for the contents to be counted again. They are a count and a sum of all rows, from which a
	// row that is replaced or deleted is taken out by what it holds. A damaged row cannot be read, so that
	// its part cannot be taken out: from then on the contents are wrong, until all rows were counted
	// (recount.go).
	recount bool
	// queued: a notification falls due that may be earlier than others.
	queued bool
}

type write struct {
	key, value []byte
	deleted    bool
}

// Get implements Reader.
func (t *Tx) Get(k []byte) ([]byte, error) {
	if w, ok := t.writes[string(k)]; ok {
		return w.value, nil
	}
	return t.group.Get(k)
}

// Put writes a value, which may be empty but is never nil in what get returns. Key and value must not be
// changed afterwards.
func (t *Tx) Put(k, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.Wrote++
	t.writes[nameOf(k)] = write{key: k, value: value}
}

// Delete deletes a row, which need not be there. The key must not be changed afterwards.
func (t *Tx) Delete(k []byte) {
	t.Wrote++
	t.writes[nameOf(k)] = write{key: k, deleted: true}
}

// nameOf is a key as the name of its write, without a copy of it.
func nameOf(k []byte) string {
	return unsafe.String(unsafe.SliceData(k), len(k)) //nolint:gosec // a key that was written is not changed
}

// gathered is an id, and the prefix that its row begins with.
type gathered struct{ prefix, id string }

// Gather has an id, which has no NUL in it, put into a row that the changes of a transaction share: its key
// is the prefix and one of the ids, its value the others, with a NUL between them. No change sees it before
// the transaction is committed.
func (t *Tx) Gather(prefix []byte, id string) {
	t.Wrote++
	t.gathered = append(t.gathered, gathered{nameOf(prefix), id})
}

// Reset forgets what the change has written so far.
func (t *Tx) Reset() {
	clear(t.writes)
	t.gathered = t.gathered[:0]
}

// join adds the change to its group. takes is what measure returned of it.
func (t *Tx) join(takes extent) {
	t.takes = t.takes.and(takes)
	for name, w := range t.writes {
		if t.keys != nil {
			t.keys.ReplaceOrInsert(name)
		}
		t.group.writes[name] = w
		t.size += len(name) + len(w.value)
	}
	t.group.gathered = append(t.group.gathered, t.gathered...)
	if t.ledger != nil {
		t.group.ledger = t.ledger
	}
	t.group.recount = t.group.recount || t.recount
	t.group.queued = t.group.queued || t.queued
}

// Part has f make a part of the change, which the scans of the parts after it see. It reports whether the
// part fits into the transaction beside what is there; one that does not is left out.
func (t *Tx) Part(f func(part *Tx) error) (fits bool, err error) {
	part := newTx(t.group)
	defer part.done()
	if err := f(part); err != nil {
		return false, err
	}
	takes := part.measure()
	switch {
	case takes.and(t.takes).within(t.most):
		part.join(takes)
		return true, nil
	case t.takes.keys == 0:
		return false, &TooLargeError{takes, t.most}
	}
	return false, nil
}

// CurrentLedger is the store's as the changes before have left it.
func (t *Tx) CurrentLedger() *recordpb.Ledger { return t.group.ledger }

// SetLedger replaces the store's ledger when the change joins its transaction.
func (t *Tx) SetLedger(next *recordpb.Ledger) { t.ledger = next }

// NotificationDue notes that a notification falls due that may be earlier than others.
func (t *Tx) NotificationDue() { t.queued = true }

// KeysWritten is how many keys the change has written, wrote how often it has.
func (t *Tx) KeysWritten() int { return len(t.writes) }

// Share is a part of what one transaction takes, in bytes.
func (t *Tx) Share(of int) int { return t.most.part(of).bytes }

// NewUnder counts the rows under a prefix that are new with this change, which its scans do not see.
func (t *Tx) NewUnder(prefix []byte) (n int, err error) {
	for name, w := range t.writes {
		if w.deleted || !strings.HasPrefix(name, string(prefix)) {
			continue
		}
		before, err := t.group.Get([]byte(name))
		if err != nil {
			return n, err
		}
		if before == nil {
			n++
		}
	}
	return n, nil
}

// usualWrites is what a refresh writes, the most frequent change.
const usualWrites = 32

// newTx returns a change that has written nothing.
func newTx(g *group) *Tx {
	writes := g.spare
	if g.spare = nil; writes == nil {
		writes = make(map[string]write, usualWrites)
	}
	return &Tx{group: g, writes: writes}
}

// done leaves the map of the change's writes to the next one, unless a large change has made it large: to
// clear it takes as long as it is large.
func (t *Tx) done() {
	if len(t.writes) <= 4*usualWrites {
		clear(t.writes)
		t.spare = t.writes
	}
	t.writes = nil
}

// DryRun returns a change over a snapshot that is thrown away.
func DryRun(r *Snapshot) *Tx { return newTx(newGroup(*r, usualWrites)) }

// Abandon steps over a damaged row for good: it is set aside. Entries that lead to it lead nowhere then.
func (t *Tx) Abandon(err error) error {
	var d *layout.Damage
	if !errors.As(err, &d) {
		return err
	}
	if err := t.StepOver(err); err != nil {
		return err
	}
	return t.SetAside(d.Key)
}

// SetAside moves a row's bytes to where they are not read.
func (t *Tx) SetAside(k []byte) error {
	value, err := t.Get(k)
	if err != nil || value == nil {
		return err
	}
	t.Put(layout.Key(layout.TableDamaged, k), value)
	t.Delete(k)
	t.recount = t.recount || layout.KindOf(k) != 0
	return nil
}
