package main

// Sessions and sign-ins of a demo client.

import (
	"crypto/subtle"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var errSignInUnknown = errors.New("this sign-in was not begun in this browser, or too long ago")

// Bounds of a demo client's memory.
const (
	attemptLifetime = time.Hour
	demoLifetime    = 24 * time.Hour
)

// demoAttempt is a pending sign-in.
type demoAttempt struct {
	state, nonce, verifier string
	started                time.Time
}

// demoSession is the local session of one browser.
type demoSession struct {
	subject, sessionID, name, email string
	authTime, started, ended        time.Time
	idToken, accessToken            string
	// told lists the channels by which the end of the session was reported, with times.
	told []string
	// revision identifies the state that a page has seen; changed is closed when the state changes.
	revision int
	changed  chan struct{}
}

func (s *demoSession) seen() string { return s.sessionID + "/" + strconv.Itoa(s.revision) }

// demoView is the part of a session that a page shows.
type demoView struct {
	State                           string // "out", "in", "ended"
	Seen                            string
	Name, Subject, SessionID, Email string
	AuthTime                        string
	Told                            []string
}

// The channels by which a demo client is told of a session's end.
const (
	byLogoutToken = "a logout token came (back channel)"
	byFrame       = "the sign-out page loaded our address in a frame (front channel)"
)

func (v *demoView) title() string {
	switch v.State {
	case "in":
		return "Signed in"
	case "ended":
		return "Signed out by the server"
	}
	return "Signed out"
}

// demoSessions are a demo client's sessions, in memory.
type demoSessions struct {
	mu       sync.Mutex
	sessions map[string]*demoSession
	attempts map[string]demoAttempt
}

func newDemoSessions() *demoSessions {
	return &demoSessions{sessions: map[string]*demoSession{}, attempts: map[string]demoAttempt{}}
}

// begin stores an attempt and returns its cookie value.
func (d *demoSessions) begin(attempt demoAttempt) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.attempts, func(_ string, old demoAttempt) bool {
		return attempt.started.Sub(old.started) > attemptLifetime
	})
	id := randomText()
	d.attempts[id] = attempt
	return id
}

// finish removes the attempt of a cookie. Its state must equal the one that the server returned.
func (d *demoSessions) finish(id, state string, now time.Time) (demoAttempt, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	attempt, ok := d.attempts[id]
	if !ok || now.Sub(attempt.started) > attemptLifetime ||
		subtle.ConstantTimeCompare([]byte(attempt.state), []byte(state)) != 1 {
		return demoAttempt{}, false
	}
	delete(d.attempts, id)
	return attempt, true
}

// add stores a session and returns its cookie value.
func (d *demoSessions) add(session *demoSession) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.sessions, func(_ string, old *demoSession) bool {
		return session.started.Sub(old.started) > demoLifetime
	})
	session.changed = make(chan struct{})
	id := randomText()
	d.sessions[id] = session
	return id
}

// forget removes the session of a cookie and returns it, or nil if there is none.
func (d *demoSessions) forget(id string) *demoSession {
	d.mu.Lock()
	defer d.mu.Unlock()
	session := d.sessions[id]
	if session != nil {
		delete(d.sessions, id)
		close(session.changed)
	}
	return session
}

// end ends the selected sessions and returns their number. Ended sessions are kept so that their page can
// show it.
func (d *demoSessions) end(subject, sessionID, channel string, now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	count := 0
	for _, session := range d.sessions {
		if (sessionID != "" && session.sessionID != sessionID) ||
			(subject != "" && session.subject != subject) ||
			slices.ContainsFunc(session.told, func(told string) bool {
				return strings.HasSuffix(told, channel)
			}) {
			continue
		}
		session.told = append(session.told, now.Format(time.TimeOnly)+" "+channel)
		session.revision++
		close(session.changed)
		session.changed = make(chan struct{})
		if session.ended.IsZero() {
			session.ended, session.accessToken, session.idToken = now, "", ""
			count++
		}
	}
	return count
}

// watch returns the current state of a session and a channel that is closed when it changes, or nil if it
// cannot change.
func (d *demoSessions) watch(id string) (string, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	session := d.sessions[id]
	if session == nil {
		return "", nil
	}
	return session.seen(), session.changed
}

func (d *demoSessions) accessToken(id string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if session := d.sessions[id]; session != nil {
		return session.accessToken
	}
	return ""
}

func (d *demoSessions) view(id string) demoView {
	d.mu.Lock()
	defer d.mu.Unlock()
	session := d.sessions[id]
	if session == nil {
		return demoView{State: "out"}
	}
	view := demoView{
		State: "in", Seen: session.seen(), Name: session.name, Subject: session.subject,
		SessionID: session.sessionID, Email: session.email,
		AuthTime: session.authTime.Format(time.DateTime),
	}
	if !session.ended.IsZero() {
		view.State, view.Told = "ended", slices.Clone(session.told)
	}
	return view
}

// cookie returns the name of one of this client's cookies. Cookies are shared across ports, so names include
// the client's id.
func (d *demoClient) cookie(kind string) string { return d.id + "_" + kind }

func (d *demoClient) setCookie(w http.ResponseWriter, kind, value string) {
	//nolint:gosec // the demo clients are only ever reached by http on the local machine
	http.SetCookie(w,
		&http.Cookie{
			Name: d.cookie(kind), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
}

func cookieValue(r *http.Request, name string) string {
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// formOf encodes pairs of names and values.
func formOf(pairs ...string) string {
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form.Encode()
}
