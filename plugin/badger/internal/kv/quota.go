package kv

// The share of background changes in a transaction, and the selection of the next change.

// The soft budget of background changes in one transaction, in keys. A caller waits for the running
// transaction and then for its own, so background changes add latency to the users in their transaction and
// to those waiting behind it. The number of keys of a change is unknown before it is applied: changes are
// taken while the budget is not used up, and the last one may exceed it. A transaction with a user's change
// takes an eighth of the full budget: small enough for its latency, and enough that the ends of sessions are
// not starved by users.
const (
	backgroundKeys       = 1024
	backgroundKeysBeside = 128
)

// quota is what a transaction has taken of the background budget, in keys, and whether it holds a user's
// change.
type quota struct {
	background int
	beside     bool
}

func (q *quota) add(ch *Change, keys int) {
	if ch.Background {
		q.background += keys
	} else {
		q.beside = true
	}
}

// left reports whether budget is left.
func (q *quota) left() bool {
	if q.beside {
		return q.background < backgroundKeysBeside
	}
	return q.background < backgroundKeys
}

// waiting returns the next waiting change, users' changes first, or nil.
func (c *committer) waiting(used *quota) *Change {
	// A closed and drained queue yields nil.
	select {
	case ch := <-c.changes:
		if ch != nil {
			return ch
		}
	default:
	}
	if !used.left() {
		return nil
	}
	select {
	case ch := <-c.background:
		return ch
	default:
		return nil
	}
}
