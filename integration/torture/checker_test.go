package torture

// The checker compares a history with the rules.

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// rule is a rule that a history can violate.
type rule string

const (
	ruleLost         rule = "an acknowledged write is lost"
	ruleUndead       rule = "an ended session or token is live"
	ruleTwice        rule = "a code or refresh token is accepted twice"
	ruleRotated      rule = "a replaced token is live"
	ruleHalf         rule = "a session is half ended"
	ruleNotification rule = "a notification was not delivered"
	ruleEarly        rule = "a client was notified of the end of a live session"
	ruleReplay       rule = "a logout token was sent twice"
	ruleStall        rule = "an answer took too long"
	ruleAnswer       rule = "a forbidden answer"
	ruleLingers      rule = "a session is not ended when it is due"
	ruleFailed       rule = "a call failed without a cause"
	ruleAgain        rule = "a client was notified too often"
)

type violation struct {
	rule rule
	text string
	sid  string
}

func (v violation) String() string { return string(v.rule) + ": " + v.text }

// terms are the host's configuration and the checker's tolerances.
type terms struct {
	idle, renewEvery time.Duration
	// slack is the tolerance for clocks and schedulers.
	slack time.Duration
	// copies is how long other hosts may answer from their cache for an access token that a refresh replaced:
	// renewals do not wait for all hosts (rule 15).
	copies time.Duration
	// stall bounds the time to an answer, counted from the end of the last disturbance.
	stall time.Duration
	// late bounds the time in which a call may take effect after its client disconnected and disturbances
	// ended.
	late time.Duration
}

// ending is an event that ends a session, or may.
type ending struct {
	start, end time.Time
	known      bool // acknowledged
	strict     bool // no token survives it
}

// session is the knowledge about a session from the history.
type session struct {
	sid, subject string
	created      *event
	endings      []ending
	// renewedAt are the start times of known uses, mayRenew the latest time at which the session may have
	// been renewed.
	renewedAt []time.Time
	mayRenew  time.Time
	// notEnded is the last time at which it had certainly not ended.
	notEnded time.Time
	// cookieLost is when the answer to a step-up was lost, and with it the new cookie.
	cookieLost time.Time
	clients    map[string]bool // that were authorized
	told       map[string]time.Time
	deadSeen   time.Time // the first time at which it was observed to have ended
}

// family is an authorization with its code and tokens.
type family struct {
	session *session
	offline bool
	// attempts are the exchanges and refreshes, each of which used a token issued by an earlier one.
	attempts []*event
	probes   []*event // introspections
}

type checker struct {
	terms    terms
	harms    []*event
	sessions map[string]*session
	families map[int]*family
	found    []violation
}

// check checks a history against the rules.
func check(events []*event, terms terms) []violation {
	c := &checker{terms: terms, sessions: map[string]*session{}, families: map[int]*family{}}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b *event) int { return a.Start.Compare(b.Start) })
	c.collect(events)
	c.answers(events)
	c.again(events)
	bySession, bySubject := map[string][]*event{}, map[string][]*event{}
	for _, e := range events {
		bySession[e.Session] = append(bySession[e.Session], e)
		if e.Kind == removeAll {
			bySubject[e.Subject] = append(bySubject[e.Subject], e)
		}
	}
	for _, s := range c.sessions {
		c.session(s, bySession[s.sid], bySubject[s.subject])
	}
	for _, e := range events {
		if s := c.sessions[e.Session]; s != nil && e.Family == 0 {
			c.use(s, e)
		}
	}
	for _, f := range c.families {
		c.family(f)
	}
	slices.SortFunc(c.found, func(a, b violation) int { return cmp.Compare(a.String(), b.String()) })
	return c.found
}

func (c *checker) violatef(r rule, e *event, text string, args ...any) {
	what := fmt.Sprintf("%s of session %s (family %d, client %s)%s at %s for %s: ", e.Kind, e.Session,
		e.Family, e.Client,
		e.where(), e.Start.Format("15:04:05.000"), e.End.Sub(e.Start))
	c.found = append(c.found, violation{r, what + fmt.Sprintf(text, args...), e.Session})
}

// answers checks each event by itself.
func (c *checker) answers(events []*event) {
	jtis := map[string]bool{}
	for _, e := range events {
		if e.Outcome == wrong {
			c.violatef(ruleAnswer, e, "%s", e.Problem)
		}
		if e.Kind != harm && e.Store == "" && e.End.Sub(c.undisturbed(e)) > c.terms.stall {
			c.violatef(ruleStall, e, "want an answer within %s", c.terms.stall)
		}
		if e.Kind == told && e.ID != "" {
			if jtis[e.ID] {
				c.violatef(ruleReplay, e, "jti %s came before", e.ID)
			}
			jtis[e.ID] = true
		}
		if e.Outcome == unknown && c.calm(e.Start, e.End) {
			c.violatef(ruleFailed, e, "want an answer")
		}
	}
}

// collect sorts events by session and family.
func (c *checker) collect(events []*event) {
	for _, e := range events {
		if e.Kind == harm {
			c.harms = append(c.harms, e)
		}
		if e.Kind == signIn && e.Outcome == done {
			c.sessions[e.Session] = &session{
				sid: e.Session, subject: e.Subject, created: e, notEnded: e.Start,
				renewedAt: []time.Time{e.Start}, mayRenew: e.End,
				clients: map[string]bool{}, told: map[string]time.Time{},
			}
		}
	}
	for _, e := range events {
		s := c.sessions[e.Session]
		if s == nil || e.Family == 0 {
			continue
		}
		f := c.families[e.Family]
		if f == nil {
			f = &family{session: s, offline: e.Offline}
			c.families[e.Family] = f
		}
		if e.Kind == introspec {
			f.probes = append(f.probes, e)
		} else {
			f.attempts = append(f.attempts, e)
		}
	}
}

// resumeSkew bounds the time after its start in which a removal of a subject, interrupted by a crash, may
// also end sessions created meanwhile.
const resumeSkew = 61 * time.Second

// session derives what is known about a session from its events and from the removals of its subject.
func (c *checker) session(s *session, events, removals []*event) {
	var over time.Time // of the session and its tokens, by a removal
	for _, e := range removals {
		if after(e.Start, over) {
			break // of thousands of the subject, those that began later end nothing of it
		}
		reach := e.End
		if e.Outcome != done {
			reach = c.settledBy(reach).Add(resumeSkew)
		}
		if s.created.Start.Before(reach) {
			// A session created meanwhile may be left.
			known := e.Outcome == done && s.created.End.Before(e.Start)
			s.endings = append(s.endings, ending{e.Start, e.End, known, true})
			if known {
				over = earliest(over, e.End)
			}
		}
	}
	for _, e := range events {
		switch e.Kind {
		case removeOne:
			s.endings = append(s.endings, ending{e.Start, e.End, e.Outcome == done, true})
		case signOut, replaced:
			s.endings = append(s.endings, ending{e.Start, e.End, e.Outcome == done, false})
		case authorize, stepUp:
			c.noteUse(s, e)
		case find:
			if e.Outcome == done {
				s.notEnded = later(s.notEnded, e.Start)
			}
		case told:
			if first, again := s.told[e.Client]; !again || e.Start.Before(first) {
				s.told[e.Client] = e.Start
			}
		}
	}
	for _, e := range events {
		c.noteDeath(s, e)
	}
}

func (c *checker) noteUse(s *session, e *event) {
	switch e.Outcome {
	case done:
		s.notEnded = later(s.notEnded, e.Start)
		s.mayRenew = later(s.mayRenew, e.End)
		// A slow call may have succeeded without renewing.
		if e.Kind == stepUp || e.End.Sub(e.Start) < 4*time.Second {
			s.renewedAt = append(s.renewedAt, e.Start)
		}
	case unknown, wrong:
		s.mayRenew = later(s.mayRenew, c.settledBy(e.End))
	}
	if e.Kind == authorize && e.Outcome == done && e.Client != "" {
		s.clients[e.Client] = true
	}
	if e.Kind == stepUp && e.Outcome != done && (s.cookieLost.IsZero() || e.Start.Before(s.cookieLost)) {
		s.cookieLost = e.Start
	}
}

// noteDeath records an observation that a session has ended, other than the answer of the ending.
func (c *checker) noteDeath(s *session, e *event) {
	seen, at := false, e.End
	switch e.Kind {
	case authorize:
		seen = e.Outcome == refused && c.hasCookie(s, e.End)
	case find:
		seen = e.Outcome == refused
	case told:
		seen, at = true, e.Start
	}
	if seen {
		s.deadSeen = earliest(s.deadSeen, at)
	}
}

func (c *checker) hasCookie(s *session, at time.Time) bool {
	return s.cookieLost.IsZero() || at.Before(s.cookieLost)
}

// live reports whether the session was certainly live at a time.
func (c *checker) live(s *session, at time.Time) bool {
	return !c.mayHaveEnded(s, at) && c.notDue(s, at)
}

// notDue reports whether a known use prevented the session from expiring until then.
func (c *checker) notDue(s *session, at time.Time) bool {
	for _, used := range s.renewedAt {
		if used.Before(at) && at.Before(used.Add(c.terms.idle-c.terms.renewEvery-c.terms.slack)) {
			return true
		}
	}
	return false
}

// mayHaveEnded reports whether an event that ends the session had begun by then. An end that is refuted later
// has not happened.
func (c *checker) mayHaveEnded(s *session, at time.Time) bool {
	if at.Before(s.notEnded) {
		return false
	}
	for _, e := range s.endings {
		if e.start.Before(at) {
			return true
		}
	}
	return false
}

// dead returns the first time from which the session was certainly over, and from which none of its tokens
// could survive. Zero means never.
func (c *checker) dead(s *session) (over, strict time.Time) {
	over = s.deadSeen
	for _, e := range s.endings {
		if e.known {
			over = earliest(over, e.end)
			if e.strict {
				strict = earliest(strict, e.end)
			}
		}
	}
	return over, strict
}

// expired returns the latest time at which the session can have expired.
func (c *checker) expired(s *session) time.Time { return s.mayRenew.Add(c.terms.idle + c.terms.slack) }

// use checks the calls about the session itself.
func (c *checker) use(s *session, e *event) {
	over, _ := c.dead(s)
	late := after(e.Start, over)
	switch {
	case e.Kind == authorize && e.Outcome == done && (late || after(e.Start, c.expired(s))):
		c.violatef(ruleUndead, e, "the session was over at %s", over.Format("15:04:05.000"))
	case e.Kind == find && e.Outcome == done && e.Last:
		c.violatef(ruleLingers, e, "it was due at %s", c.expired(s).Format("15:04:05.000"))
	case e.Kind == find && e.Outcome == done && late:
		c.violatef(ruleUndead, e, "the session was over at %s", over.Format("15:04:05.000"))
	case e.Kind == find && e.Outcome == refused && c.live(s, e.End):
		c.violatef(ruleLost, e, "the session of %s is not found", s.created.Start.Format("15:04:05.000"))
	case e.Kind == authorize && e.Outcome == refused && c.hasCookie(s, e.End) && c.live(s, e.End):
		c.violatef(ruleLost, e, "the session of %s is not known", s.created.Start.Format("15:04:05.000"))
	case e.Kind == told && e.Start.Before(s.notEnded) && len(s.endings) == 0 && c.notDue(s, e.Start):
		c.violatef(ruleEarly, e, "it was used at %s", s.notEnded.Format("15:04:05.000"))
	case e.Kind == find && e.Last:
		c.notifications(s, *e)
	}
}

// notifications checks that every client of an ended session was notified.
func (c *checker) notifications(s *session, last event) {
	for client := range s.clients {
		if s.told[client].IsZero() {
			last.Client = client
			c.violatef(ruleNotification, &last, "the client was authorized in it")
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// earliest treats the zero time as never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func after(t, limit time.Time) bool { return !limit.IsZero() && t.After(limit) }
