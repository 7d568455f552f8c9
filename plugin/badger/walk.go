package badger

import (
	"bytes"

	"github.com/dgraph-io/badger/v4"
)

// walker walks along what is there of an emptied index, past the gaps. It sees what was deleted too, so as to know when it has passed a gap
// that is worth to be remembered.
type walker struct {
	snapshot
	it     *badger.Iterator
	prefix []byte
	// at is the key that it stands at, or has passed last.
	at []byte
	// read counts the keys.
	read int
}

func (s snapshot) walk(prefix []byte) *walker {
	return &walker{snapshot: s, it: s.txn.NewIterator(badger.IteratorOptions{Prefix: prefix, AllVersions: true}), prefix: prefix}
}

func (w *walker) close() { w.it.Close() }

// behind is the next key after the one that it stands at.
func (w *walker) behind() []byte { return append(bytes.Clone(w.at), 0) }

// seek goes forward to the first key that is there, from one on, and tells whether there is any.
func (w *walker) seek(from []byte) (found bool, err error) {
	w.it.Seek(w.gaps.jump(from))
	return w.settle(from)
}

// next is seek from the next key on.
func (w *walker) next() (found bool, err error) {
	from := w.behind()
	w.advance(from)
	return w.settle(from)
}

// advance leaves the key that it stands at for the one behind, past the gap where there is one.
func (w *walker) advance(behind []byte) {
	if to := w.gaps.jump(behind); bytes.Equal(to, behind) {
		w.it.Next()
	} else {
		w.it.Seek(to)
	}
}

// settle passes what was deleted, and older versions. There is nothing between from and where it stands.
func (w *walker) settle(from []byte) (found bool, err error) {
	passed := 0
	for w.it.ValidForPrefix(w.prefix) {
		if w.read++; w.read%scanPatience == 0 && w.ended != nil {
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
			if passed >= worthGap {
				w.gaps.found(from, w.at)
			}
			return true, nil
		}
		if passed++; passed%worthGap == 0 {
			w.advance(w.behind())
		} else {
			w.it.Next()
		}
	}
	if passed >= worthGap {
		w.gaps.found(from, successor(w.prefix))
	}
	return false, nil
}

// each calls f with the keys that are there, from one on. f says where to go on: at the first from the key next on or, where that is nil, at the
// next; and whether to.
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

// scanEmptied is scan of an index that is emptied, in ascending order.
func (s snapshot) scanEmptied(prefix, from []byte, f visit) error {
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

// hop calls f with a key under prefix, from the key from on, and then with the first from the key on that f has returned, or with the next if
// that is nil, until f says that it is enough. One iterator is enough for it all: to make one costs more than to move it.
func (s snapshot) hop(prefix, from []byte, f func(k []byte) (next []byte, goOn bool, err error)) error {
	w := s.walk(prefix)
	defer w.close()
	return w.each(from, f)
}
