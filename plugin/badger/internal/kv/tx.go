package kv

// Tx: one change, which reads its own writes and joins a group.

import (
	"errors"
	"strings"
	"unsafe"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
)

// Reader reads from a snapshot or in a change.
type Reader interface {
	// Get returns the value of a key, or nil if there is none.
	Get(k []byte) ([]byte, error)
	// Scan calls f for each key with prefix, in ascending or, if reverse, descending order, starting at from
	// (nil: at the first key in that direction). f may keep the key; value reads its value. It stops when f
	// returns false.
	Scan(prefix, from []byte, reverse bool, f Visit) error
	// StepOver logs an error of a damaged row and returns nil. It returns other errors unchanged.
	StepOver(err error) error
}

// Visit is called with a row and returns whether to continue.
type Visit func(k []byte, value func() ([]byte, error)) (goOn bool, err error)

// Tx is a change being applied. Its reads see its own writes, but its scans see only writes of earlier
// changes: scan before writing. Its writes join the group when the change succeeds.
type Tx struct {
	*group
	writes map[string]write
	// gathered are ids for rows shared by the changes of a transaction.
	gathered []gathered
	// Wrote counts writes.
	Wrote int
	// ledger replaces the group's ledger when the change joins it.
	ledger *recordpb.Ledger
	// recount requests a recount of the contents. They are a count and a sum over all rows; replacing or
	// deleting a row subtracts its part, which is computed from its value. A damaged row cannot be read, so
	// its part cannot be subtracted: the contents are then inexact until all rows are counted (recount.go).
	recount bool
	// queued: the change makes a notification due that may be earlier than all others.
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

// Put writes a value, which may be empty; Get never returns it as nil. Key and value must not be changed
// afterwards.
func (t *Tx) Put(k, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.Wrote++
	t.writes[nameOf(k)] = write{key: k, value: value}
}

// Delete deletes a row if it exists. The key must not be changed afterwards.
func (t *Tx) Delete(k []byte) {
	t.Wrote++
	t.writes[nameOf(k)] = write{key: k, deleted: true}
}

// nameOf returns a key as a string without copying it.
func nameOf(k []byte) string {
	return unsafe.String(unsafe.SliceData(k), len(k)) //nolint:gosec // a written key is not changed
}

// gathered is an id and the prefix of its row's key.
type gathered struct{ prefix, id string }

// Gather adds an id, which contains no NUL, to a row shared by the changes of a transaction: its key is the
// prefix and one of the ids, its value the other ids, separated by NUL. No change sees it before the
// transaction is committed.
func (t *Tx) Gather(prefix []byte, id string) {
	t.Wrote++
	t.gathered = append(t.gathered, gathered{nameOf(prefix), id})
}

// Reset discards the change's writes.
func (t *Tx) Reset() {
	clear(t.writes)
	t.gathered = t.gathered[:0]
}

// join adds the change to its group. size is the result of measure.
func (t *Tx) join(size extent) {
	t.used = t.used.plus(size)
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

// Part applies f as a part of the change, whose writes the scans of later parts see. It reports whether the
// part fits into the transaction; if not, it is discarded.
func (t *Tx) Part(f func(part *Tx) error) (fits bool, err error) {
	part := newTx(t.group)
	defer part.done()
	if err := f(part); err != nil {
		return false, err
	}
	size := part.measure()
	switch {
	case size.plus(t.used).within(t.limit):
		part.join(size)
		return true, nil
	case t.used.keys == 0:
		return false, &TooLargeError{size, t.limit}
	}
	return false, nil
}

// CurrentLedger returns the store's ledger after the earlier changes.
func (t *Tx) CurrentLedger() *recordpb.Ledger { return t.group.ledger }

// SetLedger replaces the store's ledger when the change joins its transaction.
func (t *Tx) SetLedger(next *recordpb.Ledger) { t.ledger = next }

// NotificationDue records that a notification falls due that may be earlier than all others.
func (t *Tx) NotificationDue() { t.queued = true }

// KeysWritten returns the number of keys written by the change; Wrote counts its writes.
func (t *Tx) KeysWritten() int { return len(t.writes) }

// Share returns a fraction of the size of a transaction, in bytes.
func (t *Tx) Share(of int) int { return t.limit.dividedBy(of).bytes }

// NewUnder returns the number of rows under a prefix created by this change, which its scans do not see.
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

// usualWrites is the number of writes of a refresh, the most frequent change.
const usualWrites = 32

// newTx returns an empty change.
func newTx(g *group) *Tx {
	writes := g.spare
	if g.spare = nil; writes == nil {
		writes = make(map[string]write, usualWrites)
	}
	return &Tx{group: g, writes: writes}
}

// done passes the map of the change's writes on to the next change, unless it has grown large, because
// clearing a map takes time proportional to its size.
func (t *Tx) done() {
	if len(t.writes) <= 4*usualWrites {
		clear(t.writes)
		t.spare = t.writes
	}
	t.writes = nil
}

// DryRun returns a change over a snapshot, to be discarded.
func DryRun(r *Snapshot) *Tx { return newTx(newGroup(*r, usualWrites)) }

// Abandon steps over a damaged row permanently, by setting it aside. Entries that lead to it then lead
// nowhere.
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

// SetAside moves a row's bytes to a key where they are not read.
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
