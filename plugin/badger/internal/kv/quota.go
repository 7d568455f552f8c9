package kv

// How much of the background a transaction takes, and which change comes next.

// The soft budget of background changes in one transaction, in keys. A caller waits for the transaction under
// way and then for its own, so what the background adds to a transaction is latency of the users in it and of
// those behind it. How many keys a change writes is not known before it is applied: a change is taken while
// the budget is not used up, and the last one may go beyond it. A transaction that holds a user's change
// takes an eighth of what one without takes: small enough for its latency, and more than nothing, so that the
// ends of sessions do not wait for as long as users come.
const (
	backgroundKeys       = 1024
	backgroundKeysBeside = 128
)

// quota is what a transaction has taken of the background, in keys, and whether it holds a change that a user
// waits for.
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

// left reports whether the budget of the background is not used up.
func (q *quota) left() bool {
	if q.beside {
		return q.background < backgroundKeysBeside
	}
	return q.background < backgroundKeys
}

// waiting returns the next change if there is one, a user's first.
func (c *committer) waiting(used *quota) *Change {
	// nil from a queue once it is closed and drained
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
