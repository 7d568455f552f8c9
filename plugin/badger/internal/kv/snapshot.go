package kv

// Snapshots: the database as it was at one moment.

import (
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Snapshot is the database as it was at a moment. ended, where there is one, says why a scan is to stop: its
// caller has gone, or the database closes.
type Snapshot struct {
	txn     *badger.Txn
	ended   func() error
	damages *damages
	// queued is what the committer's count of that name was before.
	queued uint64
	// tombstones is what it knows and finds of the drained indexes.
	tombstones *observer
	// recent are rows that were used lately, nil where none are kept.
	recent *recent
}

// Ended is why a scan is to stop, nil while it is not.
func (s *Snapshot) Ended() error {
	if s.ended == nil {
		return nil
	}
	return s.ended()
}

// Queued is the committer's count of transactions in which notifications fell due, as it was before the
// snapshot.
func (s *Snapshot) Queued() uint64 { return s.queued }

// askEvery is how many rows a scan reads before it asks whether it is still wanted.
const askEvery = 256

// Get implements Reader. The value must not be changed.
func (s *Snapshot) Get(k []byte) (value []byte, err error) {
	if value, known := s.recent.get(k, s.txn.ReadTs()); known {
		return value, nil
	}
	item, err := s.txn.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err == nil {
		value, err = item.ValueCopy([]byte{})
	}
	if err != nil {
		return nil, unavailable("read", err)
	}
	if s.recent.wants(k) {
		s.recent.add(k, value, s.txn.ReadTs())
	}
	return value, nil
}

// Scan implements Reader.
func (s *Snapshot) Scan(prefix, from []byte, reverse bool, f Visit) error {
	if from == nil && !reverse {
		from = prefix
	}
	if s.tombstones != nil && !reverse && isDrained(string(prefix)) {
		return s.scanDrained(prefix, from, f)
	}
	// Values lie beside their keys, so nothing is gained by reading them ahead, which costs a goroutine for
	// each.
	it := s.txn.NewIterator(badger.IteratorOptions{Reverse: reverse, Prefix: prefix})
	defer it.Close()
	if reverse {
		from = seekLast(prefix, from)
	}
	n := 0
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		if n++; n%askEvery == 0 && s.ended != nil {
			if err := s.ended(); err != nil {
				return err
			}
		}
		item := it.Item()
		goOn, err := f(item.KeyCopy(nil), func() ([]byte, error) {
			value, err := item.ValueCopy([]byte{})
			return value, unavailable("read", err)
		})
		if err != nil || !goOn {
			return err
		}
	}
	return nil
}

// FirstKey returns the first key under a prefix, from a key on, nil where there is none.
func FirstKey(r Reader, prefix, from []byte) (first []byte, err error) {
	err = r.Scan(prefix, from, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		first = k
		return false, nil
	})
	return first, err
}

// StepOver implements Reader.
func (s *Snapshot) StepOver(err error) error {
	if !layout.IsDamage(err) {
		return err
	}
	s.damages.log(err)
	return nil
}

// IDsUnder returns the ids at the ends of the keys under a prefix.
func IDsUnder(r Reader, prefix []byte) (ids []string, err error) {
	err = r.Scan(prefix, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		if len(k) == len(prefix) {
			return true, r.StepOver(layout.DamagedEntry(k))
		}
		ids = append(ids, string(k[len(prefix):]))
		return true, nil
	})
	return ids, err
}
