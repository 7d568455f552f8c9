package kv

// Recent rows: a cache of rows recently read or written, so that changes and reads seldom need Badger.

import (
	"sync"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// Badger looks for a key in all memory tables and levels, even if the first has it. A client's refresh reads
// the same few rows twice within milliseconds: the host reads the refresh token, which is judged by its
// session, and then the committer reads both again to consume the token. Between two refreshes, which may be
// an hour, its rows stay cached only if the budget suffices for the rows of all active sessions: about 2.5 kB
// each.

// recent caches rows as of the newest commit only: position is the read timestamp of that commit. Rows are
// accepted from, and served to, readers whose snapshot has this position. The committer, the only writer,
// updates rows and position in one step after a successful commit, so that readers of the newer snapshot find
// nothing in between. A failed commit ends the database.
//
// A nil recent is empty.
type recent struct {
	mutex    sync.Mutex
	position uint64
	// young holds the rows used since it was created, old those used before. When young is full, it replaces
	// old, which is dropped.
	young, old map[string][]byte
	// size is the size of young in bytes, most its limit.
	size, most int
}

const (
	// recentOverhead is the size of an entry besides its key and value.
	recentOverhead = 100
	// maxRecent is the maximum size of a value: one with a large ticket would displace many.
	maxRecent = 8 << 10
)

// newRecent returns a cache of that size, or nil for size 0.
func newRecent(bytes int64, position uint64) *recent {
	if bytes <= 0 {
		return nil
	}
	return &recent{position: position, young: map[string][]byte{}, most: int(bytes / 2)}
}

// isRecent reports whether rows of a key's table are cached: rows written earlier that a sign-in, a code
// exchange or a refresh reads.
func isRecent(k []byte) bool {
	switch k[0] {
	case layout.TableSession[0], layout.TableClientUse[0], layout.TableFamily[0], layout.TableCount[0]:
		return true
	case layout.TableGrant[0]:
		return len(k) > len(layout.TableGrant) && k[1] == layout.TableGrant[1]
	}
	return false
}

// access is the key prefix of access tokens.
var access = layout.Key(layout.TableGrant, layout.TypePrefix(grantstore.ReferenceToken))

// isReadAgain reports whether a row is likely to be read again soon. Hosts cache access tokens themselves.
func isReadAgain(k []byte) bool {
	return isRecent(k) && (len(k) < len(access) || string(k[:len(access)]) != string(access))
}

// get returns a row at a position, and whether it is cached. The value must not be changed.
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

// wants reports whether to add a row that was read.
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

// committed advances the cache from one position to the next, applying writes.
func (r *recent) committed(writes map[string]write, from, to uint64) {
	if r == nil {
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if from != r.position { // a write bypassed the running committer, which must not happen
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
