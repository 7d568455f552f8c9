package kv

// Snapshots: the database at one moment.

import (
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Snapshot is the database at one moment. ended, if set, returns an error when scans are to stop, because the
// caller's context has ended or the database is closing.
type Snapshot struct {
	txn     *badger.Txn
	ended   func() error
	damages *damages
	// queued is the committer's counter of that name, read before the snapshot.
	queued uint64
	// tombstones holds the known and newly found spans of the queue indexes.
	tombstones *observer
	// recent is the cache of recent rows, nil if there is none.
	recent *recent
}

// Ended returns why scans are to stop, or nil.
func (s *Snapshot) Ended() error {
	if s.ended == nil {
		return nil
	}
	return s.ended()
}

// Queued returns the committer's count of transactions that made notifications due, read before the snapshot.
func (s *Snapshot) Queued() uint64 { return s.queued }

// checkInterval is the number of rows after which a scan checks whether to stop.
const checkInterval = 256

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
	if s.tombstones != nil && !reverse && isQueueIndex(string(prefix)) {
		return s.scanQueueIndex(prefix, from, f)
	}
	// Values are stored with their keys, so prefetching gains nothing and costs a goroutine per value.
	it := s.txn.NewIterator(badger.IteratorOptions{Reverse: reverse, Prefix: prefix})
	defer it.Close()
	if reverse {
		from = seekLast(prefix, from)
	}
	n := 0
	for it.Seek(from); it.ValidForPrefix(prefix); it.Next() {
		if n++; n%checkInterval == 0 && s.ended != nil {
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

// FirstKey returns the first key under a prefix at or after from, or nil if there is none.
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
