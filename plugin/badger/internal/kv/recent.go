package kv

// Recent rows: what was read or written lately, so that changes and reads seldom have to ask Badger.

import (
	"sync"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Badger looks for a key in each of its memory tables and levels, also when the first has it. A client's
// refresh asks for the same few rows twice within milliseconds: the host reads the refresh token, which is
// judged by its session, and then the committer reads all of that again to use it up. Between two refreshes,
// which may be an hour, its rows stay here only where the budget has room for those of all active sessions:
// about 2.5 kB for each.

// recent is a cache of rows as they are after the newest commit, and at no other moment: position is the read
// timestamp of that. A row is taken from a reader whose snapshot is of this position, and shown to such a
// one. The committer, the only writer, brings rows and position up to date in one step, once a commit has
// succeeded, so that in between readers of the newer snapshot find nothing. One that fails ends the database.
//
// A nil recent has no rows.
type recent struct {
	mutex    sync.Mutex
	position uint64
	// young has what was used since it was begun, old what was used before. When young is full it takes the
	// place of old, which is forgotten.
	young, old map[string][]byte
	// size is how many bytes young takes, most how many it may.
	size, most int
}

const (
	// recentOverhead is what an entry takes beside its key and value.
	recentOverhead = 100
	// maxRecent is the largest value that is kept: one with a large ticket would take the room of many.
	maxRecent = 8 << 10
)

// newRecent returns a cache that takes so many bytes, nil for none.
func newRecent(bytes int64, position uint64) *recent {
	if bytes <= 0 {
		return nil
	}
	return &recent{position: position, young: map[string][]byte{}, most: int(bytes / 2)}
}

// isRecent reports whether rows of a key's table are kept: what a sign-in, a code exchange and a refresh read
// that was written before.
func isRecent(k []byte) bool {
	switch k[0] {
	case layout.TableSession[0], layout.TableClientUse[0], layout.TableFamily[0], layout.TableCount[0]:
		return true
	case layout.TableGrant[0]:
		return len(k) > len(layout.TableGrant) && k[1] == layout.TableGrant[1]
	}
	return false
}

// access begins the keys of access tokens.
var access = layout.Key(layout.TableGrant, layout.TypePrefix(grantstore.ReferenceToken))

// isReadAgain reports whether a row that is read is likely to be read again soon. Hosts keep access tokens
// themselves.
func isReadAgain(k []byte) bool {
	return isRecent(k) && (len(k) < len(access) || string(k[:len(access)]) != string(access))
}

// get returns a row at a position, which must not be changed, and whether it is known.
func (r *recent) get(k []byte, at uint64) (value []byte, known bool) {
	if r == nil || !isRecent(k) {
		return nil, false
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if at != r.position {
		return nil, false
	}
	if value, known = r.young[string(k)]; known {
		return value, true
	}
	if value, known = r.old[string(k)]; known {
		r.put(string(k), value)
	}
	return value, known
}

// add adds a row that was read at a position. The value must not be changed afterwards.
func (r *recent) add(k, value []byte, at uint64) {
	if r == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if at == r.position {
		r.put(string(k), value)
	}
}

// wants reports whether a row that was read is to be added.
func (r *recent) wants(k []byte) bool { return r != nil && isReadAgain(k) }

func (r *recent) put(name string, value []byte) {
	if len(value) > maxRecent {
		return
	}
	if r.size > r.most {
		r.young, r.old, r.size = make(map[string][]byte, len(r.young)), r.young, 0
	}
	if was, known := r.young[name]; known {
		r.size += len(value) - len(was)
	} else {
		r.size += len(name) + len(value) + recentOverhead
	}
	r.young[name] = value
}

// committed brings the rows from one position to the next, by what was written.
func (r *recent) committed(writes map[string]write, from, to uint64) {
	if r == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if from != r.position { // something else has written, which it must not while the committer runs
		r.young, r.old, r.size = map[string][]byte{}, nil, 0
	}
	r.position = to
	for name, w := range writes {
		switch {
		case !isRecent(w.key):
		case w.deleted || len(w.value) > maxRecent:
			delete(r.young, name)
			delete(r.old, name)
		default:
			r.put(name, w.value)
		}
	}
}
