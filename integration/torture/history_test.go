package torture

// The history of calls and their outcomes.

import (
	"slices"
	"sync"
	"time"
)

// kind is the kind of a call or event.
type kind string

const (
	signIn    kind = "sign-in"   // of a new session
	stepUp    kind = "step-up"   // the same user signs in again: the session gets a new cookie
	authorize kind = "authorize" // a code, by the cookie
	exchange  kind = "exchange"
	refresh   kind = "refresh"
	introspec kind = "introspect"
	find      kind = "find" // an admin's query
	removeOne kind = "remove session"
	removeAll kind = "remove subject"
	signOut   kind = "sign-out"
	replaced  kind = "replacement"  // a different user signs in over the session
	told      kind = "notification" // a relying party got a logout token and answered 200
	snubbed   kind = "no answer"    // a relying party got a logout token and answered wrongly, or never
	unheard   kind = "unheard"      // a host has not seen an answer 200, or could not record it
	// Actions on the hosts.
	harm   kind = "harm"   // done to the processes or their disk
	resent kind = "resent" // an operator had a notification sent again
)

// outcome is the outcome of a call.
type outcome string

const (
	done    outcome = "done"
	refused outcome = "refused" // login required, invalid grant, inactive, nothing found
	unknown outcome = "unknown" // 503, or no answer: it may have taken effect
	wrong   outcome = "wrong"   // an answer that must never occur
)

// event is one call and its answer, or one notification received.
type event struct {
	Kind       kind
	Start, End time.Time
	Outcome    outcome
	// Problem describes a wrong answer.
	Problem string

	Session string // sid
	Subject string
	Client  string
	Offline bool
	// Family is the number of the authorization of code and tokens.
	Family int
	// Token is the code, refresh token or access token used.
	Token string
	// Access and Refresh are the tokens issued.
	Access, Refresh string
	// ID is the jti of a notification.
	ID string
	// Host is the address of the called or disturbed host. Empty means all hosts.
	Host string
	// Store is the replaced store that was called directly. Empty means that a host was called.
	Store string
	// Last: the call was made long after the end of all sessions.
	Last bool
}

// history collects events.
type history struct {
	mutex  sync.Mutex
	events []*event
	fine   int // number of successful events
	// brief limits the history to the first events that are unknown or wrong.
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

// good returns the number of successful events.
func (h *history) good() int {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.fine
}

// writes returns the answer times of acknowledged writes that began after a given time.
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
		if e.End.Before(after.Add(-patience)) { // events are ordered by their answers
			break
		}
	}
	return answered
}

// all returns the events so far, which must not be changed: in a long run they are too many to copy often.
func (h *history) all() []*event {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return slices.Clip(h.events)
}

// where names the store if it was called directly.
func (e *event) where() string {
	if e.Store == "" {
		return ""
	}
	return " in " + e.Store
}
