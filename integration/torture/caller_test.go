package torture

// Calls of clients and operators, with their outcomes.

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// caller makes each call on a random host and records it with its answer in the history.
type caller struct {
	bases   []string // the hosts' addresses
	http    *http.Client
	history *history
	family  atomic.Int64
}

func newCaller(history *history, bases ...string) *caller {
	return &caller{
		bases: bases, history: history,
		http: &http.Client{
			// The checker decides whether a call took too long.
			Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 5 * patience,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// answer is a response; status 0 means no response.
type answer struct {
	host     string
	status   int
	location *url.URL
	cookie   string
	raw      []byte
	body     map[string]any
}

func (a *answer) text(name string) string {
	value, _ := a.body[name].(string)
	return value
}

// send makes one call. Only the end of the test cancels it.
func (c *caller) send(
	method, path, cookie string, form url.Values, body any,
) (*answer, time.Time, time.Time) {
	var payload io.Reader
	if form != nil {
		payload = strings.NewReader(form.Encode())
	}
	if body != nil {
		raw, _ := json.Marshal(body) // maps of strings
		payload = strings.NewReader(string(raw))
	}
	start := time.Now()
	base := c.bases[rand.IntN(len(c.bases))]
	request, err := http.NewRequestWithContext(context.Background(), method, base+path, payload)
	if err != nil {
		panic(err)
	}
	switch {
	case form != nil:
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(form.Get("client_id"), clientSecret)
	case body != nil:
		request.Header.Set("Content-Type", "application/json")
	}
	if cookie != "" {
		request.Header.Set("Cookie", cookie)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return &answer{host: base}, start, time.Now()
	}
	defer func() { _ = response.Body.Close() }()
	a := &answer{host: base, status: response.StatusCode, body: map[string]any{}}
	if a.raw, err = io.ReadAll(response.Body); err != nil {
		return &answer{host: base}, start, time.Now()
	}
	_ = json.Unmarshal(a.raw, &a.body)
	a.location, _ = response.Location()
	if set := response.Cookies(); len(set) > 0 {
		a.cookie = set[0].Name + "=" + set[0].Value
	}
	return a, start, time.Now()
}

// record records the outcome: good means success, no means an expected refusal.
func (c *caller) record(e event, a *answer, start, end time.Time, good, no bool) outcome {
	e.Start, e.End, e.Host = start, end, a.host
	switch {
	case good:
		e.Outcome = done
	case no:
		e.Outcome = refused
	case a.status == 0 || a.status == http.StatusServiceUnavailable:
		e.Outcome = unknown
	default:
		e.Outcome, e.Problem = wrong, fmt.Sprintf("status %d: %.300s", a.status, a.raw)
	}
	c.history.add(e)
	return e.Outcome
}

// login signs a user in and returns the sid and the new cookie.
func (c *caller) login(user, cookie string) (sid, fresh string, start, end time.Time, a *answer) {
	a, start, end = c.send(http.MethodPost, "/sign-in?user="+user, cookie, nil, nil)
	if a.status == http.StatusOK {
		return a.text("sid"), a.cookie, start, end, a
	}
	return "", "", start, end, a
}

// grant is an authorization: a code, or the tokens issued for it.
type grant struct {
	family   int
	session  string
	subject  string
	client   string
	offline  bool
	code     string
	access   string
	refresh  string
	outdated []string // replaced access tokens
	used     []string // used refresh tokens
}

func (g *grant) event(k kind, token string) event {
	return event{
		Kind: k, Session: g.session, Subject: g.subject, Client: g.client, Offline: g.offline,
		Family: g.family, Token: token,
	}
}

// authorize requests a code and returns the grant, or nil if there is none.
func (c *caller) authorize(sid, subject, cookie, client string, offline bool) (*grant, outcome) {
	scope := "openid"
	if offline {
		scope += " offline_access"
	}
	query := url.Values{
		"client_id": {client}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {scope},
		"state": {"state-state-state"}, "nonce": {"nonce-nonce-nonce"},
	}
	a, start, end := c.send(http.MethodGet, "/authorize?"+query.Encode(), cookie, nil, nil)
	code, problem := "", ""
	if a.location != nil {
		code, problem = a.location.Query().Get("code"), a.location.Query().Get("error")
	}
	no := a.status == http.StatusUnauthorized || problem == "login_required"
	got := c.record(event{Kind: authorize, Session: sid, Subject: subject, Client: client}, a, start, end,
		code != "", no)
	if got != done {
		return nil, got
	}
	return &grant{
		family: int(c.family.Add(1)), session: sid, subject: subject, client: client, offline: offline,
		code: code,
	}, got
}

// issue redeems a code or a refresh token.
func (c *caller) issue(k kind, g *grant, token string) (access, fresh string, got outcome) {
	form := url.Values{"client_id": {g.client}, "grant_type": {"refresh_token"}, "refresh_token": {token}}
	if k == exchange {
		form = url.Values{
			"client_id": {g.client}, "grant_type": {"authorization_code"}, "code": {token},
			"redirect_uri": {callback},
		}
	}
	a, start, end := c.send(http.MethodPost, "/token", "", form, nil)
	e := g.event(k, token)
	e.Access, e.Refresh = a.text("access_token"), a.text("refresh_token")
	got = c.record(e, a, start, end, a.status == http.StatusOK && e.Access != "",
		a.status == http.StatusBadRequest && a.text("error") == "invalid_grant")
	return e.Access, e.Refresh, got
}

func (c *caller) introspect(g *grant, token string) outcome {
	a, start, end := c.send(http.MethodPost, "/introspect", "",
		url.Values{"client_id": {g.client}, "token": {token}}, nil)
	active, is := a.body["active"].(bool)
	ok := a.status == http.StatusOK && is
	return c.record(g.event(introspec, token), a, start, end, ok && active, ok && !active)
}

// find queries a session as an operator.
func (c *caller) find(sid, subject string, bySubject, last bool) outcome {
	query := url.Values{"session_id": {sid}}
	if bySubject {
		query = url.Values{"subject_id": {subject}}
	}
	a, start, end := c.send(http.MethodGet, "/admin/sessions?"+query.Encode(), "", nil, nil)
	found := false
	results, is := a.body["results"].([]any)
	for _, row := range results {
		r, _ := row.(map[string]any)
		found = found || r["session_id"] == sid
	}
	ok := a.status == http.StatusOK && is
	return c.record(event{Kind: find, Session: sid, Subject: subject, Last: last}, a, start, end, ok && found,
		ok && !found)
}

// remove removes one session, or all of a subject.
func (c *caller) remove(k kind, sid, subject string) outcome {
	body := map[string]string{"session_id": sid}
	e := event{Kind: k, Session: sid, Subject: subject}
	if k == removeAll {
		body = map[string]string{"subject_id": subject}
		e.Session = ""
	}
	a, start, end := c.send(http.MethodPost, "/admin/sessions/remove", "", nil, body)
	return c.record(e, a, start, end, a.status == http.StatusOK, false)
}
