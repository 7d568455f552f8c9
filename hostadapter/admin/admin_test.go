package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// manager answers what a test gives it, and keeps what it was asked.
type manager struct {
	err      error
	page     ticketstore.Page
	report   hostadapter.SessionReport
	result   logout.Result
	log      bytes.Buffer
	query    *ticketstore.SessionQuery
	removal  *hostadapter.RemoveSessions
	delivery *logout.DeliveryQuery
	id       string

	job      hostadapter.Job
	status   hostadapter.BackendStatus
	grants   *grantstore.Query
	revoked  *hostadapter.RemoveGrants
	selected *logout.DeliveryFilter
}

func (m *manager) Job(_ context.Context, id string) (*hostadapter.Job, error) {
	m.id = id
	return &m.job, m.err
}

func (m *manager) BackendStatus(context.Context) *hostadapter.BackendStatus { return &m.status }

func (m *manager) QueryGrants(_ context.Context, q grantstore.Query) (*grantstore.Page, error) {
	m.grants = &q
	if _, err := q.Walk(); err != nil {
		return nil, err
	}
	return &grantstore.Page{Grants: []grantstore.Grant{grant}, ResultsToken: "t", HasNext: true}, m.err
}

func (m *manager) RemoveGrants(_ context.Context, r hostadapter.RemoveGrants) (*hostadapter.GrantsRemoved, error) {
	removal := grantstore.Removal{OperationID: "x", Filter: r.Filter, Limit: 1}
	if err := removal.Validate(); err != nil {
		return nil, err
	}
	m.revoked = &r
	return &hostadapter.GrantsRemoved{GrantsRevoked: 2, ConsentsRevoked: 1}, m.err
}

func (m *manager) RetryDeliveries(_ context.Context, f logout.DeliveryFilter) (int, error) {
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

func (m *manager) RemoveSessions(_ context.Context, r hostadapter.RemoveSessions) (*logout.Result, error) {
	m.removal = &r
	ending := logout.Ending{
		OperationID: "x", SubjectID: r.SubjectID, SessionID: r.SessionID, All: r.All, ClientIDs: r.ClientIDs, Reason: logout.Terminated,
	}
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	return &m.result, m.err
}

func (m *manager) SessionByID(_ context.Context, id string) (*hostadapter.SessionReport, error) {
	m.id = id
	return &m.report, m.err
}

func (m *manager) Deliveries(_ context.Context, q logout.DeliveryQuery) (*logout.DeliveryPage, error) {
	m.delivery = &q
	if _, err := q.Walk(); err != nil {
		return nil, err
	}
	return &logout.DeliveryPage{Deliveries: []logout.Notification{notification}, ResultsToken: "t"}, m.err
}

func (m *manager) RetryDelivery(_ context.Context, id string) (*logout.Notification, error) {
	m.id = id
	return &notification, m.err
}

func (m *manager) RemoteAddr(*http.Request) string { return "192.0.2.7" }
func (m *manager) Logger() *slog.Logger            { return slog.New(slog.NewTextHandler(&m.log, nil)) }

var (
	moment       = time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600))
	notification = logout.Notification{
		ID: "n1", Issuer: "https://op.example", ClientID: "shop", SubjectID: "ann", SessionID: "s1", Reason: logout.Terminated,
		State: logout.Pending, Queued: moment, Attempts: 2, NextAttempt: moment.Add(time.Minute), GiveUpAt: moment.Add(24 * time.Hour),
		LastAttempt: moment, LastError: "the client answered 500",
	}
	grant = grantstore.Grant{
		Ref: grantstore.Ref{Type: grantstore.RefreshToken, Key: grantstore.KeyOf("HANDLE")}, RequestID: "r1", SubjectID: "ann", SessionID: "s1",
		ClientID: "shop", Created: moment, Expires: moment.Add(time.Hour), Offline: true, Data: []byte("SEALED"),
	}
	detail = ticketstore.SessionDetail{
		Session: ticketstore.Session{
			Key: ticketstore.KeyOf([]byte("secret")), SessionID: "s1", SubjectID: "ann", DisplayName: "Ann", Issuer: "https://op.example",
			AuthTime: moment, ACR: "1", AMR: []string{"pwd"}, RemoteAddr: "192.0.2.1", UserAgent: "curl",
			Created: moment, Renewed: moment, Expires: moment.Add(time.Hour), Ticket: []byte("TICKET"),
		},
		Clients: []ticketstore.ClientUse{{ClientID: "shop", FirstUsed: moment, LastUsed: moment, Notify: true, TokenNumber: 7}},
	}
)

// serve sends a request to routes mounted under /admin, as the actor whose name is in the header Actor: reader may read, writer change.
func serve(m *manager, r *http.Request) *http.Response {
	router := mux.NewRouter()
	admin.Mount(router.PathPrefix("/admin").Subrouter(), m, authorize)
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	return w.Result()
}

func authorize(r *http.Request, permission admin.Permission) (admin.Actor, error) {
	actor := admin.Actor{ID: r.Header.Get("Actor"), Name: "the " + r.Header.Get("Actor")}
	switch {
	case actor.ID == "":
		return admin.Actor{}, admin.ErrUnauthenticated
	case actor.ID == "lost":
		return actor, hostadapter.ErrUnavailable
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

// mustFail checks that the answer is a problem of that status which names the field.
func mustFail(t *testing.T, response *http.Response, status int, field string) {
	t.Helper()
	var p problem
	raw, _ := io.ReadAll(response.Body)
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Errorf("answer %d %q is no problem: %v", response.StatusCode, raw, err)
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
		t.Error("the answer may be cached")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	as := func(actor string, r *http.Request) *http.Request { r.Header.Set("Actor", actor); return r }
	with := func(name, value string, r *http.Request) *http.Request { r.Header.Set(name, value); return r }
	long := strings.Repeat("x", 513)
	get := func(query string) *http.Request { return request(http.MethodGet, "/sessions?"+query, "") }
	post := func(target, body string) *http.Request { return request(http.MethodPost, target, body) }
	remove := func(body string) *http.Request { return post("/sessions/remove", body) }
	tests := []struct {
		name    string
		request *http.Request
		status  int
		field   string
	}{
		{"no actor", as("", get("")), 401, ""},
		{"no actor for a change", as("", remove(`{"subject_id":"ann"}`)), 401, ""},
		{"reader removes", as("reader", remove(`{"subject_id":"ann"}`)), 403, ""},
		{"reader deletes", as("reader", request(http.MethodDelete, "/sessions/s1", "")), 403, ""},
		{"reader retries", as("reader", request(http.MethodPost, "/logout/deliveries/n1/retry", "")), 403, ""},
		{"authorizer lost its store", as("lost", get("")), 503, ""},
		{"authorizer broken", as("broken", get("")), 500, ""},
		{"page of another site", with("Sec-Fetch-Site", "cross-site", remove(`{"subject_id":"ann"}`)), 403, ""},
		{"origin of another site", with("Origin", "https://evil.example", request(http.MethodDelete, "/sessions/s1", "")), 403, ""},

		{"empty session id", remove(`{"subject_id":"ann","session_id":""}`), 400, "session_id"},
		{"empty subject id", remove(`{"subject_id":"","session_id":"s1"}`), 400, "subject_id"},
		{"time before all times", get("created_before=0001-01-01T00:00:00Z"), 400, "created_before"},
		{"unknown path", request(http.MethodGet, "/users", ""), 404, ""},
		{"PUT sessions", request(http.MethodPut, "/sessions", ""), 405, ""},
		{"GET remove", request(http.MethodGet, "/sessions/remove", ""), 405, ""},
		{"POST a session", request(http.MethodPost, "/sessions/s1", ""), 405, ""},
		{"GET retry", request(http.MethodGet, "/logout/deliveries/n1/retry", ""), 405, ""},

		{"misspelled parameter", get("subjectid=ann"), 400, "subjectid"},
		{"parameter twice", get("subject_id=a&subject_id=b"), 400, "subject_id"},
		{"unreadable query", get("subject_id=%zz"), 400, ""},
		{"no time", get("created_after=yesterday"), 400, "created_after"},
		{"no count", get("count_requested=many"), 400, "count_requested"},
		{"count 0", get("count_requested=0"), 400, "count_requested"},
		{"count 1001", get("count_requested=1001"), 400, "count_requested"},
		{"order", get("order=up"), 400, "order"},
		{"prior", get("request_prior_results=1"), 400, "request_prior_results"},
		{"prior without token", get("request_prior_results=true"), 400, "request_prior_results"},
		{"malformed token", get("results_token=abc"), 400, "results_token"},
		{"long id", get("subject_id=" + long), 400, "subject_id"},
		{"id with NUL", get("session_id=a%00"), 400, "session_id"},
		{"id not UTF-8", get("client_id=%ff"), 400, "client_id"},
		{"parameter of one session", request(http.MethodGet, "/sessions/s1?x=1", ""), 400, "x"},
		{"parameter of a delete", request(http.MethodDelete, "/sessions/s1?dry_run=true", ""), 400, "dry_run"},
		{"parameter of a removal", request(http.MethodPost, "/sessions/remove?subject_id=ann", `{}`), 400, "subject_id"},
		{"parameter of a retry", request(http.MethodPost, "/logout/deliveries/n1/retry?x=1", ""), 400, "x"},
		{"state of deliveries", request(http.MethodGet, "/logout/deliveries?state=lost", ""), 400, "state"},
		{"parameter of deliveries", request(http.MethodGet, "/logout/deliveries?subject_id=a", ""), 400, "subject_id"},

		{"no content type", with("Content-Type", "", remove(`{"subject_id":"ann"}`)), 415, ""},
		{"form", with("Content-Type", "application/x-www-form-urlencoded", remove("subject_id=ann")), 415, ""},
		{"compressed", with("Content-Encoding", "gzip", remove(`{"subject_id":"ann"}`)), 415, ""},
		{"too large", remove(`{"subject_id":"` + strings.Repeat("x", 64<<10) + `"}`), 413, ""},
		{"too large for a delete", request(http.MethodDelete, "/sessions/s1", strings.Repeat(" ", 65<<10)), 413, ""},
		{"empty body", with("Content-Type", "application/json", remove("")), 400, ""},
		{"no object", remove(`["subject_id"]`), 400, ""},
		{"half an object", remove(`{"subject_id":"ann"`), 400, ""},
		{"two objects", remove(`{"subject_id":"ann"}{}`), 400, ""},
		{"misspelled field", remove(`{"subject_id":"ann","revoke_token":false}`), 400, "revoke_token"},
		{"field in another case", remove(`{"Subject_ID":"ann"}`), 400, "Subject_ID"},
		{"field twice", remove(`{"subject_id":"ann","subject_id":"bob"}`), 400, "subject_id"},
		{"null", remove(`{"subject_id":"ann","client_ids":null}`), 400, "client_ids"},
		{"null in a list", remove(`{"subject_id":"ann","client_ids":[null]}`), 400, "client_ids"},
		{"another type", remove(`{"subject_id":"ann","revoke_tokens":"no"}`), 400, "revoke_tokens"},
		{"neither subject nor session", remove(`{}`), 400, "subject_id"},
		{"no client", remove(`{"subject_id":"ann","client_ids":[]}`), 400, "client_ids"},
		{"all and a subject", remove(`{"all":true,"subject_id":"ann"}`), 400, "all"},
		{"all of no client", remove(`{"all":true,"client_ids":[]}`), 400, "client_ids"},
		{"all false", remove(`{"all":false}`), 400, "subject_id"},
		{"only clients", remove(`{"client_ids":["shop"]}`), 400, "subject_id"},

		{"reader removes grants", as("reader", post("/grants/remove", `{"subject_id":"ann"}`)), 403, ""},
		{"reader retries many", as("reader", post("/logout/deliveries/retry", `{"state":"refused"}`)), 403, ""},
		{"nobody reads the backend", as("", request(http.MethodGet, "/backend", "")), 401, ""},
		{"DELETE grants", request(http.MethodDelete, "/grants", ""), 405, ""},
		{"GET grants removal", request(http.MethodGet, "/grants/remove", ""), 405, ""},
		{"GET bulk retry", request(http.MethodGet, "/logout/deliveries/retry", ""), 405, ""},
		{"POST a job", post("/jobs/j1", `{}`), 405, ""},
		{"PUT the backend", request(http.MethodPut, "/backend", ""), 405, ""},
		{"no job", request(http.MethodGet, "/jobs/", ""), 404, ""},
		{"type of grants", request(http.MethodGet, "/grants?type=token", ""), 400, "type"},
		{"parameter of grants", request(http.MethodGet, "/grants?state=live", ""), 400, "state"},
		{"parameter of a job", request(http.MethodGet, "/jobs/j1?x=1", ""), 400, "x"},
		{"parameter of the backend", request(http.MethodGet, "/backend?x=1", ""), 400, "x"},
		{"removal of all grants", post("/grants/remove", `{}`), 400, "subject_id"},
		{"removal of grants of nobody", post("/grants/remove", `{"subject_id":""}`), 400, "subject_id"},
		{"removal of grants by a list", post("/grants/remove", `{"client_id":["shop"]}`), 400, "client_id"},
		{"removal of grants of a type", post("/grants/remove", `{"type":"token"}`), 400, "type"},
		{"removal of grants by client_ids", post("/grants/remove", `{"client_ids":["shop"]}`), 400, "client_ids"},
		{"retry of all", post("/logout/deliveries/retry", `{}`), 400, "state"},
		{"retry of a state", post("/logout/deliveries/retry", `{"state":"lost"}`), 400, "state"},
		{"retry of no client", post("/logout/deliveries/retry", `{"client_id":""}`), 400, "client_id"},
		{"form of a bulk retry", with("Content-Type", "text/plain", post("/logout/deliveries/retry", `{"state":"refused"}`)), 415, ""},
		{"large removal of grants", post("/grants/remove", strings.Repeat(" ", 65<<10)), 413, ""},
		{"body of a delete", request(http.MethodDelete, "/sessions/s1", `{"revoke_tokens":false}`), 400, ""},
		{"body of a retry", request(http.MethodPost, "/logout/deliveries/n1/retry", `{"state":"pending"}`), 400, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := &manager{page: ticketstore.Page{}}
			response := serve(m, test.request)
			mustFail(t, response, test.status, test.field)
			if m.id != "" || m.revoked != nil || m.selected != nil || (m.removal != nil && test.field == "") {
				t.Error("something was done all the same")
			}
			switch test.status {
			case http.StatusUnauthorized:
				if response.Header.Get("WWW-Authenticate") == "" {
					t.Error("401 without WWW-Authenticate")
				}
			case http.StatusMethodNotAllowed:
				if response.Header.Get("Allow") == "" {
					t.Error("405 without Allow")
				}
			case http.StatusServiceUnavailable:
				if response.Header.Get("Retry-After") == "" {
					t.Error("503 without Retry-After")
				}
			}
			audited := strings.Contains(m.log.String(), "admin audit")
			if refused := test.status == 401 || test.status == 403; refused && !audited {
				t.Error("a refused attempt is not in the audit")
			}
		})
	}
}

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	for _, route := range [][2]string{
		{http.MethodGet, "/sessions"}, {http.MethodGet, "/sessions/s1"}, {http.MethodDelete, "/sessions/s1"},
		{http.MethodPost, "/sessions/remove"}, {http.MethodGet, "/logout/deliveries"}, {http.MethodPost, "/logout/deliveries/n1/retry"},
		{http.MethodGet, "/grants"}, {http.MethodPost, "/grants/remove"}, {http.MethodPost, "/logout/deliveries/retry"},
		{http.MethodGet, "/jobs/j1"},
	} {
		for status, err := range map[int]error{
			503: hostadapter.ErrUnavailable, 404: hostadapter.ErrNotFound, 409: ticketstore.ErrConflict, 500: io.ErrUnexpectedEOF,
		} {
			body := ""
			switch route[1] {
			case "/sessions/remove", "/grants/remove":
				body = `{"subject_id":"ann"}`
			case "/logout/deliveries/retry":
				body = `{"client_id":"shop"}`
			}
			m := &manager{err: err}
			response := serve(m, request(route[0], route[1], body))
			mustFail(t, response, status, "")
			if status == 503 && response.Header.Get("Retry-After") == "" {
				t.Errorf("%v: 503 without Retry-After", route)
			}
		}
	}
}

func TestQuerySessions(t *testing.T) {
	t.Parallel()
	m := &manager{page: ticketstore.Page{
		Sessions: []ticketstore.SessionDetail{detail}, ResultsToken: "tok", HasPrev: true, HasNext: true,
		TotalCount: 3, TotalPages: 2, CurrentPage: -1,
	}}
	response := serve(m, request(http.MethodGet, "/sessions?subject_id=ann&session_id=s1&client_id=shop&display_name=A&order=asc&count_requested=2"+
		"&created_after=2026-01-01T00:00:00Z&created_before=2026-01-02T00:00:00%2B01:00&expires_after=2026-01-03T00:00:00Z"+
		"&expires_before=2026-01-04T00:00:00Z&results_token=", ""))
	day := func(d, h int) time.Time { return time.Date(2026, 1, d, h, 0, 0, 0, time.UTC) }
	want := &ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{
			SubjectID: "ann", SessionID: "s1", ClientID: "shop", DisplayName: "A",
			CreatedFrom: day(1, 0), CreatedBefore: day(1, 23), ExpiresFrom: day(3, 0), ExpiresBefore: day(4, 0),
		},
		Order: ticketstore.Ascending, Count: 2,
	}
	if diff := cmp.Diff(want, m.query); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	mustBe(t, response, `{"results":[{"subject_id":"ann","session_id":"s1","display_name":"Ann","created":"2026-03-01T12:00:00Z",
		"renewed":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","issuer":"https://op.example","auth_time":"2026-03-01T12:00:00Z",
		"acr":"1","amr":["pwd"],"remote_addr":"192.0.2.1","user_agent":"curl","client_ids":["shop"]}],
		"results_token":"tok","has_prev_results":true,"has_next_results":true,"total_count":3,"total_pages":2}`)
	links := []string{
		`<?count_requested=2&results_token=tok>; rel="next"`,
		`<?count_requested=2&request_prior_results=true&results_token=tok>; rel="prev"`,
	}
	if diff := cmp.Diff(links, response.Header.Values("Link")); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	mustBe(t, serve(&manager{}, request(http.MethodGet, "/sessions", "")),
		`{"results":[],"has_prev_results":false,"has_next_results":false,"total_count":0,"total_pages":0,"current_page":0}`)
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

func TestGetSession(t *testing.T) {
	t.Parallel()
	m := &manager{report: hostadapter.SessionReport{
		SessionDetail: detail, Grants: map[grantstore.Type]int{grantstore.RefreshToken: 2}, GrantsCounted: true,
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/sessions/s1", "")), `{"subject_id":"ann","session_id":"s1","display_name":"Ann",
		"created":"2026-03-01T12:00:00Z","renewed":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","issuer":"https://op.example",
		"auth_time":"2026-03-01T12:00:00Z","acr":"1","amr":["pwd"],"remote_addr":"192.0.2.1","user_agent":"curl","client_ids":["shop"],
		"clients":[{"client_id":"shop","first_used":"2026-03-01T12:00:00Z","last_used":"2026-03-01T12:00:00Z","notify":true,"coordinated":false}],
		"grants":{"refresh_token":2},"grants_complete":true}`)
}

func TestIDsInPaths(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"s1", "a b", "a/b", "a%2Fb", "remove me", "ü", "a?b#c", "retry"} {
		for _, encoded := range []bool{false, true} {
			for target, method := range map[string]string{
				"/sessions/" + url.PathEscape(id): http.MethodGet, "/logout/deliveries/" + url.PathEscape(id) + "/retry": http.MethodPost,
			} {
				m := &manager{report: hostadapter.SessionReport{SessionDetail: detail}}
				router := mux.NewRouter()
				if encoded {
					router.UseEncodedPath()
				}
				admin.Mount(router.PathPrefix("/admin").Subrouter(), m, authorize)
				w := httptest.NewRecorder()
				router.ServeHTTP(w, request(method, target, ""))
				if w.Code != http.StatusOK || m.id != id {
					t.Errorf("%s (encoded path %t): status %d, id %q; want %q", target, encoded, w.Code, m.id, id)
				}
			}
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body string
		want hostadapter.RemoveSessions
	}{
		{`{"subject_id":"ann"}`, hostadapter.RemoveSessions{SubjectID: "ann"}},
		{`{"session_id":"s1","reason":"left"}`, hostadapter.RemoveSessions{SessionID: "s1", Reason: "left"}},
		{`{"subject_id":"ann","client_ids":["shop"],"dry_run":true}`,
			hostadapter.RemoveSessions{SubjectID: "ann", ClientIDs: []string{"shop"}, DryRun: true}},
		{`{"subject_id":"ann","remove_server_side_session":false,"all":false}`, hostadapter.RemoveSessions{SubjectID: "ann", KeepSession: true}},
		{`{"subject_id":"ann","send_backchannel_logout_notification":false}`, hostadapter.RemoveSessions{SubjectID: "ann", SkipNotification: true}},
		{`{"subject_id":"ann","revoke_tokens":false}`, hostadapter.RemoveSessions{SubjectID: "ann", KeepTokens: true}},
		{`{"subject_id":"ann","revoke_consents":false}`, hostadapter.RemoveSessions{SubjectID: "ann", KeepConsents: true}},
		{`{"subject_id":"ann","revoke_consents":true,"revoke_tokens":true,"remove_server_side_session":true,
			"send_backchannel_logout_notification":true}`, hostadapter.RemoveSessions{SubjectID: "ann"}},
	}
	for _, test := range tests {
		m := &manager{result: logout.Result{SessionsRemoved: 1, GrantsRevoked: 2, ConsentsRevoked: 3, NotificationsQueued: 4}}
		r := request(http.MethodPost, "/sessions/remove", test.body)
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		mustBe(t, serve(m, r), `{"sessions_removed":1,"grants_revoked":2,"consents_revoked":3,"notifications_queued":4,"clients_left_alone":[]}`)
		if diff := cmp.Diff(&test.want, m.removal); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.body, diff)
		}
	}
}

func TestRemoveNothing(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{ClientsLeftAlone: []string{"mail"}}}
	mustBe(t, serve(m, request(http.MethodPost, "/sessions/remove", `{"subject_id":"nobody"}`)),
		`{"sessions_removed":0,"grants_revoked":0,"consents_revoked":0,"notifications_queued":0,"clients_left_alone":["mail"]}`)
	mustFail(t, serve(m, request(http.MethodDelete, "/sessions/nobody", "")), http.StatusNotFound, "")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{SessionsRemoved: 1, NotificationsQueued: 2}}
	mustBe(t, serve(m, request(http.MethodDelete, "/sessions/s1", "")),
		`{"sessions_removed":1,"grants_revoked":0,"consents_revoked":0,"notifications_queued":2,"clients_left_alone":[]}`)
	if diff := cmp.Diff(&hostadapter.RemoveSessions{SessionID: "s1"}, m.removal); diff != "" {
		t.Errorf("removal (-want +got):\n%s", diff)
	}
}

const noticeJSON = `{"id":"n1","state":"pending","client_id":"shop","subject_id":"ann","session_id":"s1","issuer":"https://op.example",
	"reason":"terminated","attempts":2,"queued":"2026-03-01T12:00:00Z","next_attempt":"2026-03-01T12:01:00Z",
	"give_up_at":"2026-03-02T12:00:00Z","last_attempt":"2026-03-01T12:00:00Z","last_error":"the client answered 500"}`

func TestDeliveries(t *testing.T) {
	t.Parallel()
	m := &manager{}
	mustBe(t, serve(m, request(http.MethodGet, "/logout/deliveries?state=pending&client_id=shop&session_id=s1&order=desc", "")),
		`{"results":[`+noticeJSON+`],"results_token":"t","has_prev_results":false,"has_next_results":false}`)
	want := &logout.DeliveryQuery{
		Filter: logout.DeliveryFilter{State: logout.Pending, ClientID: "shop", SessionID: "s1"}, Order: ticketstore.Descending,
	}
	if diff := cmp.Diff(want, m.delivery); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	for _, body := range []string{"", "{}"} {
		mustBe(t, serve(m, request(http.MethodPost, "/logout/deliveries/n1/retry", body)), noticeJSON)
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	m := &manager{}
	response := serve(m, request(http.MethodGet, "/grants?subject_id=ann&session_id=s1&client_id=shop&type=refresh_token&order=asc&count_requested=1", ""))
	mustBe(t, response, `{"results":[{"type":"refresh_token","subject_id":"ann","session_id":"s1","client_id":"shop","request_id":"r1",
		"created":"2026-03-01T12:00:00Z","expires":"2026-03-01T13:00:00Z","offline":true}],"results_token":"t","has_prev_results":false,
		"has_next_results":true}`)
	want := &grantstore.Query{
		Filter: grantstore.Filter{SubjectID: "ann", SessionID: "s1", ClientID: "shop", Type: grantstore.RefreshToken},
		Order:  ticketstore.Ascending, Count: 1,
	}
	if diff := cmp.Diff(want, m.grants); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	links := []string{`<?count_requested=1&results_token=t>; rel="next"`}
	if diff := cmp.Diff(links, response.Header.Values("Link")); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
	mustBe(t, serve(m, request(http.MethodPost, "/grants/remove",
		`{"subject_id":"ann","session_id":"s1","client_id":"shop","type":"user_consent","reason":"asked for"}`)),
		`{"grants_revoked":2,"consents_revoked":1}`)
	removal := &hostadapter.RemoveGrants{
		Filter: grantstore.Filter{SubjectID: "ann", SessionID: "s1", ClientID: "shop", Type: grantstore.UserConsent}, Reason: "asked for",
	}
	if diff := cmp.Diff(removal, m.revoked); diff != "" {
		t.Errorf("removal (-want +got):\n%s", diff)
	}
	for _, want := range []string{"action=remove_grants", "subject_id=ann", "type=user_consent", `reason="asked for"`, "grants_revoked=2"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
}

func TestRetryDeliveries(t *testing.T) {
	t.Parallel()
	m := &manager{}
	mustBe(t, serve(m, request(http.MethodPost, "/logout/deliveries/retry", `{"state":"given_up","client_id":"shop","session_id":"s1"}`)),
		`{"notifications_queued":3}`)
	want := &logout.DeliveryFilter{State: logout.GivenUp, ClientID: "shop", SessionID: "s1"}
	if diff := cmp.Diff(want, m.selected); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	for _, want := range []string{"action=retry_deliveries", "state=given_up", "client_id=shop", "notifications_queued=3"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
}

func TestRemoveAll(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{JobID: "j 1"}}
	response := serve(m, request(http.MethodPost, "/sessions/remove", `{"all":true,"client_ids":["shop"],"reason":"drill"}`))
	raw, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusAccepted || strings.TrimSpace(string(raw)) != `{"job":"j 1"}` {
		t.Errorf("answer %d %s, want 202 and the job", response.StatusCode, raw)
	}
	if got := response.Header.Get("Location"); got != "../jobs/j%201" {
		t.Errorf("Location %q, want ../jobs/j%%201", got)
	}
	if diff := cmp.Diff(&hostadapter.RemoveSessions{All: true, ClientIDs: []string{"shop"}, Reason: "drill"}, m.removal); diff != "" {
		t.Errorf("removal (-want +got):\n%s", diff)
	}
	for _, want := range []string{"all=true", `job="j 1"`, "status=202", "reason=drill"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
	mustFail(t, serve(&manager{err: logout.ErrBusy}, request(http.MethodPost, "/sessions/remove", `{"all":true}`)), http.StatusConflict, "")
}

func TestJob(t *testing.T) {
	t.Parallel()
	m := &manager{job: hostadapter.Job{
		ID: "j1", Kind: hostadapter.JobRemoval, State: hostadapter.JobRunning, Phase: "sessions", Started: moment, Total: 10, Done: 4,
		Removed: &logout.Result{SessionsRemoved: 4},
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/jobs/j1", "")), `{"id":"j1","kind":"removal","state":"running","phase":"sessions",
		"started":"2026-03-01T12:00:00Z","total":10,"done":4,"result":{"sessions_removed":4,"grants_revoked":0,"consents_revoked":0,
		"notifications_queued":0,"clients_left_alone":[]}}`)
	m.job = hostadapter.Job{ID: "j1", State: hostadapter.JobFailed, Started: moment, Finished: moment, Total: -1, Error: "disk full"}
	mustBe(t, serve(m, request(http.MethodGet, "/jobs/j1", "")), `{"id":"j1","kind":"","state":"failed",
		"started":"2026-03-01T12:00:00Z","finished":"2026-03-01T12:00:00Z","done":0,"error":"disk full"}`)
}

func TestBackend(t *testing.T) {
	t.Parallel()
	m := &manager{status: hostadapter.BackendStatus{
		Description: ticketstore.Description{Name: "badger", Version: "v1", Format: 1, Services: []string{"tickets"}, Shared: true},
		Sessions:    7, PendingDeliveries: 1000,
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/backend", "")), `{"status":"ready","name":"badger","version":"v1","format":1,
		"services":["tickets"],"shared":true,"sessions":7,"pending_deliveries":1000,"pending_deliveries_complete":false}`)
	m = &manager{status: hostadapter.BackendStatus{Err: hostadapter.ErrUnavailable, Sessions: -1, PendingDeliveries: -1}}
	mustBe(t, serve(m, request(http.MethodGet, "/backend", "")),
		`{"status":"unavailable","error":"session store is unavailable","services":[],"shared":false}`)
	m = &manager{status: hostadapter.BackendStatus{
		Description: ticketstore.Description{Name: "badger", Trouble: "its disk is nearly full"}, Sessions: 7, PendingDeliveries: -1,
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/backend", "")),
		`{"status":"degraded","error":"its disk is nearly full","name":"badger","services":[],"shared":false,"sessions":7}`)
}

// On a full disk an operator hears what to do, and not that the store cannot be reached.
func TestChangeOnAFullDisk(t *testing.T) {
	t.Parallel()
	m := &manager{err: ticketstore.ErrNoSpace}
	response := serve(m, request(http.MethodPost, "/sessions/remove", `{"subject_id":"ann"}`))
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), "Make room") || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("answered %d %s, want 503 that says to make room", response.StatusCode, body)
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{SessionsRemoved: 1}}
	serve(m, request(http.MethodPost, "/sessions/remove", `{"subject_id":"ann","reason":"left the company"}`))
	for _, want := range []string{
		"admin audit", "action=remove_sessions", "actor_id=writer", `actor_name="the writer"`, "remote_addr=192.0.2.7", "subject_id=ann",
		`reason="left the company"`, "sessions_removed=1", "status=200",
	} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
	m = &manager{}
	serve(m, request(http.MethodGet, "/sessions", ""))
	if m.log.Len() > 0 {
		t.Errorf("reading is in the log: %q", m.log.String())
	}
	r := request(http.MethodPost, "/sessions/remove", `{"subject_id":"ann"}`)
	r.Header.Set("Actor", "reader")
	serve(m, r)
	if log := m.log.String(); !strings.Contains(log, "status=403") || !strings.Contains(log, "actor_id=reader") {
		t.Errorf("audit %q, want the refused attempt and who made it", log)
	}
}

func TestMountNeedsItsParts(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]func(){
		"authorizer": func() { admin.Mount(mux.NewRouter(), &manager{}, nil) },
		"sessions":   func() { admin.Mount(mux.NewRouter(), nil, authorize) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Mount without %s went through, want a panic", name)
				}
			}()
			mount()
		}()
	}
}
