package kv

// Walks along queue indexes, skipping their tombstones.

import (
	"bytes"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// walker walks along the entries of a queue index and skips the spans of the tombstone cache. It reads
// tombstones too, to find new spans.
type walker struct {
	*Snapshot
	it     *badger.Iterator
	prefix []byte
	// at is the current key, or the last one passed.
	at []byte
	// read counts the keys read.
	read int
}

func (s *Snapshot) walk(prefix []byte) *walker {
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: prefix, AllVersions: true})
	return &walker{Snapshot: s, it: it, prefix: prefix}
}

func (w *walker) close() { w.it.Close() }

// behind returns the key after the current one.
func (w *walker) behind() []byte { return append(bytes.Clone(w.at), 0) }

// seek moves forward to the first entry at or after a key, and reports whether there is one.
func (w *walker) seek(from []byte) (found bool, err error) {
	w.it.Seek(w.tombstones.jump(from))
	return w.settle(from)
}

// next moves to the first entry after the current key.
func (w *walker) next() (found bool, err error) {
	from := w.behind()
	w.advance(from)
	return w.settle(from)
}

// advance moves to the following key, or to the end of the span that begins there.
func (w *walker) advance(behind []byte) {
	if to := w.tombstones.jump(behind); bytes.Equal(to, behind) {
		w.it.Next()
	} else {
		w.it.Seek(to)
	}
}

// settle skips tombstones and older versions. There is no entry between from and the new position.
func (w *walker) settle(from []byte) (found bool, err error) {
	passed := 0
	for w.it.ValidForPrefix(w.prefix) {
		if w.read++; w.read%checkInterval == 0 && w.ended != nil {
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
			if passed >= minSpan {
				w.tombstones.found(from, w.at)
			}
			return true, nil
		}
		if passed++; passed%minSpan == 0 {
			w.advance(w.behind())
		} else {
			w.it.Next()
		}
	}
	if passed >= minSpan {
		w.tombstones.found(from, layout.Successor(w.prefix))
	}
	return false, nil
}

// each calls f with the entries from a key on. f returns whether to continue, and where: at the first entry
// at or after the key next or, if that is nil, at the following one.
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

// scanQueueIndex is Scan for a queue index, in ascending order.
func (s *Snapshot) scanQueueIndex(prefix, from []byte, f Visit) error {
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

// Hop calls f with the first key under prefix at or after from. Then it repeats this from the key that f
// returned or, if that was nil, with the following key, until f returns false. It uses one iterator, because
// creating one costs more than moving it.
func (s *Snapshot) Hop(prefix, from []byte, f func(k []byte) (next []byte, goOn bool, err error)) error {
	w := s.walk(prefix)
	defer w.close()
	return w.each(from, f)
}
