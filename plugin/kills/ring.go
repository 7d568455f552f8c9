package kills

// Ring: the last kills, in bounded memory.

import "github.com/fosite-sessions/sessions/grantstore"

// Bounds of a Ring.
const (
	// Kept is how many kills are kept.
	Kept = 4096
	// KeptBytes bounds the memory of their names. A larger last kill is kept alone.
	KeptBytes = 8 << 20
)

// Ring keeps the last kills of a process. It is not safe for concurrent use.
type Ring struct {
	// Forgotten is the position of the last evicted kill, initially that of the kill before the first.
	Forgotten uint64
	// kills holds the kill of position p at p % Kept.
	kills [Kept]*grantstore.Kill
	bytes int
}

// Put adds the kill of the next position and evicts the oldest kills over the bounds.
func (r *Ring) Put(kill *grantstore.Kill) {
	r.bytes += sizeOf(kill)
	for n := kill.Position - r.Forgotten; n > Kept || (n > 1 && r.bytes > KeptBytes); n-- {
		r.Forgotten++
		first := &r.kills[r.Forgotten%Kept]
		r.bytes -= sizeOf(*first)
		*first = nil
	}
	r.kills[kill.Position%Kept] = kill
}

// At returns the kill at a position, or nil if it is not kept.
func (r *Ring) At(position uint64) *grantstore.Kill {
	if kill := r.kills[position%Kept]; kill != nil && kill.Position == position {
		return kill
	}
	return nil
}

// sizeOf returns the memory of a kill's names, in bytes.
func sizeOf(kill *grantstore.Kill) int {
	const ref, text = 48, 16 // of a grantstore.Ref, and of a string header
	size := cap(kill.Grants)*ref + cap(kill.Sessions)*text
	for _, sid := range kill.Sessions {
		size += len(sid)
	}
	return size
}
