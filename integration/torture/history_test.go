package torture

// The history of calls and their outcomes.

import (
	"slices"
	"sync"
	"time"
)

// kind is what somebody asked for.
type kind string

const (
	signIn    kind = "sign-in"   // of a new session
	stepUp    kind = "step-up"   // the same user signs in again: the same session gets another cookie
	authorize kind = "authorize" // a code, by the cookie
	exchange  kind = "exchange"
	refresh   kind = "refresh"
	introspec kind = "introspect"
	find      kind = "find" // an admin's query
	removeOne kind = "remove session"
	removeAll kind = "remove subject"
	signOut   kind = "sign-out"
	replaced  kind = "replacement"  // another user signs in over the session
	told      kind = "notification" // a relying party got a logout token and answered 200
	snubbed   kind = "no answer"    // a relying party got a logout token and answered wrongly, or never
	unheard   kind = "unheard"      // a host has seen no answer 200, or could not record it
	// What was done to those who answer.
	harm   kind = "harm"   // done to the processes or their disk
	resent kind = "resent" // an operator had a notification sent again
)

// outcome is what was answered.
type outcome string

const (
	done    outcome = "done"
	refused outcome = "refused" // login required, invalid grant, inactive, nothing found
	unknown outcome = "unknown" // 503, or no answer: it happened or did not
	wrong   outcome = "wrong"   // what must never be answered
)

// event is one call and its answer, or one notification that came.
type event struct {
	Kind       kind
	Start, End time.Time
	Outcome    outcome
	// Problem says what was wrong with a wrong answer.
	Problem string

	Session string // sid
	Subject string
	Client  string
	Offline bool
	// Family is the number of the authorization that code and tokens descend from.
	Family int
	// Token is what was used: a code, a refresh token, an access token.
	Token string
	// Access and Refresh are what was issued.
	Access, Refresh string
	// ID is the jti of a notification.
	ID string
	// Host is the address of the host that was asked, or that something was done to. Empty: to all of them.
	Host string
	// Store is the store that was asked when another had taken its place. Empty: the host was asked.
	Store string
	// Last: asked after every session should have been over for long.
	Last bool
}

// history collects events.
type history struct {
	mutex  sync.Mutex
	events []*event
	fine   int // events that are done
	// brief keeps no more than the first events that are unknown or wrong.
	brief bool
}

// maxOdd bounds a brief history.
const maxOdd = 20

func (h *history) add(e event) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if odd := e.Outcome == unknown || e.Outcome == wrong; !h.brief || (odd && len(h.events) < maxOdd) {
		h.events = append(h.events, &e)
	}
	if e.Outcome == done {
		h.fine++
	}
}

// good counts the events that are done.
func (h *history) good() int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.fine
}

// writes are the answers to writes that began after a moment and were acknowledged.
func (h *history) writes(after time.Time) (answered []time.Time) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for _, e := range slices.Backward(h.events) {
		switch e.Kind {
		case signIn, stepUp, authorize, exchange, refresh, removeOne, removeAll, signOut, replaced:
			if e.Outcome == done && e.Start.After(after) {
				answered = append(answered, e.End)
			}
		}
		if e.End.Before(after.Add(-patience)) { // they lie in the order of their answers
			break
		}
	}
	return answered
}

// all returns the events so far, which nobody changes: those of a long run are too many to be copied often.
func (h *history) all() []*event {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return slices.Clip(h.events)
}

// where says which store was asked if it was not the host.
func (e *event) where() string {
	if e.Store == "" {
		return ""
	}
	return " in " + e.Store
}
