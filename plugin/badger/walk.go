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
	if to := w.gaps.jump(from); bytes.Equal(to, from) {
		w.it.Next()
	} else {
		w.it.Seek(to)
	}
	return w.settle(from)
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
			if next := w.behind(); !bytes.Equal(w.gaps.jump(next), next) {
				w.it.Seek(w.gaps.jump(next))
				continue
			}
		}
		w.it.Next()
	}
	if passed >= worthGap {
		w.gaps.found(from, successor(w.prefix))
	}
	return false, nil
}

// scan is a reader's, of an index that is emptied, in ascending order.
func (w *walker) scan(from []byte, f visit) error {
	for found, err := w.seek(from); found || err != nil; found, err = w.next() {
		if err != nil {
			return err
		}
		goOn, err := f(bytes.Clone(w.at), func() ([]byte, error) {
			value, err := w.it.Item().ValueCopy([]byte{})
			return value, unavailable("read", err)
		})
		if err != nil || !goOn {
			return err
		}
	}
	return nil
}

// hop calls f with a key under prefix, from the key from on, and then with the first from the key on that f has returned, or with the next if
// that is nil, until f says that it is enough. One iterator is enough for it all: to make one costs more than to move it.
func (s snapshot) hop(prefix, from []byte, f func(k []byte) (next []byte, goOn bool, err error)) error {
	w := s.walk(prefix)
	defer w.close()
	found, err := w.seek(from)
	for found && err == nil {
		next, goOn, err := f(bytes.Clone(w.at))
		if err != nil || !goOn {
			return err
		}
		if next == nil {
			found, err = w.next()
		} else {
			found, err = w.seek(next)
		}
		if err != nil {
			return err
		}
	}
	return err
}
