package admin_test

// A manager with configured answers, for the tests of the routes.

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// manager returns the answers that a test sets, and records its calls.
type manager struct {
	err      error
	page     ticketstore.Page
	report   hostadapter.SessionReport
	result   logout.Result
	log      bytes.Buffer
	query    *ticketstore.SessionQuery
	removal  *hostadapter.SessionRemoval
	delivery *logout.NotificationQuery
	id       string

	activity []hostadapter.Minute
	job      logout.Job
	left     *hostadapter.JobEnd // of a stopped host
	swap     *hostadapter.SwapState
	did      string // the operation requested
	status   hostadapter.BackendStatus
	grants   *grantstore.Query
	revoked  *hostadapter.GrantRemoval
	selected *logout.NotificationFilter
}

func (m *manager) Job(_ context.Context, id string) (*logout.Job, error) {
	m.id = id
	if m.swap != nil {
		return nil, ticketstore.ErrNotFound
	}
	return &m.job, m.err
}

func (m *manager) FollowJob(_ context.Context, id string, note []byte, ended func(*hostadapter.JobEnd)) {
	ended(&hostadapter.JobEnd{ID: id, Note: note, Removal: &m.job, Swap: m.swap})
}

func (m *manager) ResumeJobs(ended func(*hostadapter.JobEnd)) {
	if m.left != nil {
		ended(m.left)
	}
}

func (m *manager) BackendStatus(context.Context) *hostadapter.BackendStatus { return &m.status }

func (m *manager) QueryGrants(_ context.Context, q grantstore.Query) (*grantstore.Page, error) {
	m.grants = &q
	if _, err := q.Walk(); err != nil {
		return nil, err
	}
	return &grantstore.Page{Grants: []grantstore.Grant{grant}, ResultsToken: "t", HasNext: true}, m.err
}

func (m *manager) RemoveGrants(
	_ context.Context, r hostadapter.GrantRemoval,
) (*hostadapter.GrantRemovalResult, error) {
	removal := grantstore.Removal{OperationID: "x", Filter: r.Filter, Limit: 1}
	if err := removal.Validate(); err != nil && r.ID == "" {
		return nil, err
	}
	m.revoked = &r
	return &hostadapter.GrantRemovalResult{
		GrantsRevoked: 2, ConsentsRevoked: 1, Target: grantstore.Filter{ClientID: "its client"},
	}, m.err
}

func (m *manager) GrantID(ref grantstore.Ref) string { return "id-of-a-" + string(ref.Type) }

func (m *manager) RetryNotifications(_ context.Context, f logout.NotificationFilter) (int, error) {
	retry := logout.Retry{Filter: f, Limit: 1}
	if err := retry.Validate(); err != nil {
		return 0, err
	}
	m.selected = &f
	return 3, m.err
}

func (m *manager) QuerySessions(_ context.Context, q ticketstore.SessionQuery) (*ticketstore.Page, error) {
	m.query = &q
	if _, err := q.Walk(); err != nil {
		return nil, err
	}
	return &m.page, m.err
}

func (m *manager) RemoveSessions(_ context.Context, r hostadapter.SessionRemoval) (*logout.Result, error) {
	m.removal = &r
	ending := logout.Ending{
		OperationID: "x", SubjectID: r.SubjectID, SessionID: r.SessionID, All: r.All, ClientIDs: r.ClientIDs,
		Reason: logout.Terminated,
	}
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	return &m.result, m.err
}

func (m *manager) SessionProperties(s *ticketstore.Session) map[string]string {
	if len(s.Visible) == 0 {
		return nil
	}
	return map[string]string{"tenant": string(s.Visible), "<b>": ""}
}

func (m *manager) SessionByID(_ context.Context, id string) (*hostadapter.SessionReport, error) {
	m.id = id
	return &m.report, m.err
}

func (m *manager) QueryNotifications(
	_ context.Context, q logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	m.delivery = &q
	if _, err := q.Walk(); err != nil {
		return nil, err
	}
	return &logout.NotificationPage{Notifications: []logout.Notification{notification}, ResultsToken: "t"},
		m.err
}

func (m *manager) RetryNotification(_ context.Context, id string) (*logout.Notification, error) {
	m.id = id
	return &notification, m.err
}

func (m *manager) SwapByID(context.Context, string) (*hostadapter.SwapState, error) {
	if m.swap == nil {
		return nil, ticketstore.ErrNotFound
	}
	return m.swap, nil
}

func (m *manager) Swap(_ context.Context, name string) (string, error) {
	m.did = "swap to " + name
	return "j1", m.err
}

func (m *manager) Upgrade(_ context.Context, name string) (string, error) {
	m.did = "upgrade to " + name
	return "j1", m.err
}

func (m *manager) AbortSwap(_ context.Context, job string) error {
	m.did = "abort " + job
	return m.err
}

func (m *manager) BackendName() string                     { return "main" }
func (m *manager) BackendNames() []string                  { return []string{"main", "next"} }
func (m *manager) Backup(context.Context, io.Writer) error { return m.err }

func (m *manager) Activity() []hostadapter.Minute  { return m.activity }
func (m *manager) Now() time.Time                  { return time.Now() }
func (m *manager) RemoteAddr(*http.Request) string { return "192.0.2.7" }
func (m *manager) Logger() *slog.Logger            { return slog.New(slog.NewTextHandler(&m.log, nil)) }

var (
	moment       = time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600))
	notification = logout.Notification{
		ID: "n1", Issuer: "https://op.example", ClientID: "shop", SubjectID: "ann", SessionID: "s1",
		Reason: logout.Terminated,
		State:  logout.Pending, Queued: moment, Attempts: 2, NextAttempt: moment.Add(time.Minute),
		GiveUpAt:    moment.Add(24 * time.Hour),
		LastAttempt: moment, LastError: "the client answered 500",
	}
	grant = grantstore.Grant{
		Ref: grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf("HANDLE")}, RequestID: "r1",
		SubjectID: "ann", SessionID: "s1",
		ClientID: "shop", Created: moment, Expires: moment.Add(time.Hour), Offline: true,
		Data: []byte("SEALED"),
	}
	detail = ticketstore.SessionDetail{
		Session: ticketstore.Session{
			Key: ticketstore.KeyOf("secret"), SessionID: "s1", SubjectID: "ann", DisplayName: "Ann",
			Issuer:   "https://op.example",
			AuthTime: moment, ACR: "1", AMR: []string{"pwd"}, RemoteAddr: "192.0.2.1", UserAgent: "curl",
			Created: moment, Renewed: moment, Expires: moment.Add(time.Hour), Ticket: []byte("TICKET"),
		},
		Clients: []ticketstore.ClientUse{
			{ClientID: "shop", FirstUsed: moment, LastUsed: moment, Notify: true, TokenNumber: 7},
		},
	}
)

// serve sends a request to the routes below /admin. The header Actor names the actor: reader may read, writer
// may make changes.
func serve(m *manager, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	http.StripPrefix("/admin",
		admin.Handler(admin.Config{Operations: m, Authorize: authorize})).ServeHTTP(w, r)
	return w.Result()
}

func authorize(r *http.Request, permission admin.Permission) (admin.Actor, error) {
	actor := admin.Actor{ID: r.Header.Get("Actor"), Name: "the " + r.Header.Get("Actor")}
	switch {
	case actor.ID == "":
		return admin.Actor{}, admin.ErrUnauthenticated
	case actor.ID == "lost":
		return actor, ticketstore.ErrUnavailable
	case actor.ID == "broken":
		return actor, io.ErrUnexpectedEOF
	case actor.ID == "reader" && permission != admin.ReadSessions:
		return actor, admin.ErrForbidden
	}
	return actor, nil
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "/admin"+target, strings.NewReader(body))
	r.Header.Set("Actor", "writer")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

type problem struct {
	Type, Title, Detail, Field string
	Status                     int
}

// mustFail checks that the answer is a problem document with that status that names the field.
func mustFail(t *testing.T, response *http.Response, status int, field string) {
	t.Helper()
	var p problem
	raw, _ := io.ReadAll(response.Body)
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Errorf("answer %d %q is not a problem document: %v", response.StatusCode, raw, err)
		return
	}
	if response.StatusCode != status || p.Status != status || p.Field != field {
		t.Errorf("status %d, problem %+v; want %d and field %q", response.StatusCode, p, status, field)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("problem %+v lacks type, title or detail", p)
	}
	if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q, want application/problem+json", got)
	}
	if response.Header.Get("Cache-Control") != "no-store" {
		t.Error("the answer is cacheable")
	}
}

// mustBe checks that the answer is 200 with that JSON.
func mustBe(t *testing.T, response *http.Response, want string) {
	t.Helper()
	raw, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s, want 200 and JSON", response.StatusCode, response.Header.Get("Content-Type"))
	}
	var got, wanted any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatalf("answer %q: %v", raw, err)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}
