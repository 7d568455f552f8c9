package kv

// Walks along drained indexes, past their tombstones.

import (
	"bytes"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// walker walks along the entries of a drained index and jumps over the spans of the tombstone cache. It reads
// tombstones too, so as to find spans for the cache.
type walker struct {
	*Snapshot
	it     *badger.Iterator
	prefix []byte
	// at is the key that it stands at, or has passed last.
	at []byte
	// read counts the keys.
	read int
}

func (s *Snapshot) walk(prefix []byte) *walker {
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: prefix, AllVersions: true})
	return &walker{Snapshot: s, it: it, prefix: prefix}
}

func (w *walker) close() { w.it.Close() }

// behind is the next key after the one that it stands at.
func (w *walker) behind() []byte { return append(bytes.Clone(w.at), 0) }

// seek goes forward to the first entry from a key on, and reports whether there is one.
func (w *walker) seek(from []byte) (found bool, err error) {
	w.it.Seek(w.tombstones.jump(from))
	return w.settle(from)
}

// next is seek from the next key on.
func (w *walker) next() (found bool, err error) {
	from := w.behind()
	w.advance(from)
	return w.settle(from)
}

// advance goes to the key behind, or to the end of the span that begins there.
func (w *walker) advance(behind []byte) {
	if to := w.tombstones.jump(behind); bytes.Equal(to, behind) {
		w.it.Next()
	} else {
		w.it.Seek(to)
	}
}

// settle passes tombstones and older versions. There is nothing between from and where it stands.
func (w *walker) settle(from []byte) (found bool, err error) {
	passed := 0
	for w.it.ValidForPrefix(w.prefix) {
		if w.read++; w.read%askEvery == 0 && w.ended != nil {
			if err := w.ended(); err != nil {
				return false, err
			}
		}
		item := w.it.Item()
		if bytes.Equal(item.Key(), w.at) {
			w.it.Next() // an older version
			continue
		}
		w.at = append(w.at[:0], item.Key()...)
		if !item.IsDeletedOrExpired() {
			if passed >= worthSpan {
				w.tombstones.found(from, w.at)
			}
			return true, nil
		}
		if passed++; passed%worthSpan == 0 {
			w.advance(w.behind())
		} else {
			w.it.Next()
		}
	}
	if passed >= worthSpan {
		w.tombstones.found(from, layout.Successor(w.prefix))
	}
	return false, nil
}

// each calls f with the entries from a key on. f says where to go on: at the first entry from the key next on
// or, where that is nil, at the next one; and whether to.
func (w *walker) each(from []byte, f func(k []byte) (next []byte, goOn bool, err error)) error {
	found, err := w.seek(from)
	for found && err == nil {
		var next []byte
		switch next, found, err = f(bytes.Clone(w.at)); {
		case err != nil || !found:
		case next == nil:
			found, err = w.next()
		default:
			found, err = w.seek(next)
		}
	}
	return err
}

// scanDrained is Scan of a drained index, in ascending order.
func (s *Snapshot) scanDrained(prefix, from []byte, f Visit) error {
	w := s.walk(prefix)
	defer w.close()
	return w.each(from, func(k []byte) (next []byte, goOn bool, err error) {
		goOn, err = f(k, func() ([]byte, error) {
			value, err := w.it.Item().ValueCopy([]byte{})
			return value, unavailable("read", err)
		})
		return nil, goOn, err
	})
}

// Hop calls f with a key under prefix, from the key from on, and then with the first from the key on that f
// has returned, or with the next if that is nil, until f says that it is enough. One iterator is enough for
// it all: to make one costs more than to move it.
func (s *Snapshot) Hop(prefix, from []byte, f func(k []byte) (next []byte, goOn bool, err error)) error {
	w := s.walk(prefix)
	defer w.close()
	return w.each(from, f)
}
