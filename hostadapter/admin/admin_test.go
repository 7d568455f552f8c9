package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// An authorizer that returns neither an error nor an actor is faulty: nothing is read or changed, and the log
// names what it must return.
func TestAuthorizerWithoutActor(t *testing.T) {
	t.Parallel()
	nobody := func(*http.Request, admin.Permission) (admin.Actor, error) {
		return admin.Actor{SignOut: "/out"}, nil
	}
	for target, method := range map[string]string{
		"/sessions": http.MethodGet, "/sessions/s1": http.MethodDelete, "/ui/sessions/": http.MethodGet,
	} {
		m := &manager{}
		w := httptest.NewRecorder()
		http.StripPrefix("/admin", admin.Handler(admin.Config{Operations: m, Authorize: nobody})).
			ServeHTTP(w, request(method, target, ""))
		if w.Code != http.StatusInternalServerError {
			t.Errorf("%s %s returned %d, want 500", method, target, w.Code)
		}
		if m.query != nil || m.id != "" || m.removal != nil {
			t.Errorf("%s %s did something", method, target)
		}
		if log := m.log.String(); !strings.Contains(log, "Actor without ID and Name") {
			t.Errorf("%s %s: the log does not name the fault: %s", method, target, log)
		}
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
		{
			"reader retries", as("reader", request(http.MethodPost, "/logout/deliveries/n1/retry", "")), 403,
			"",
		},
		{"authorizer lost its store", as("lost", get("")), 503, ""},
		{"authorizer broken", as("broken", get("")), 500, ""},
		{
			"page of another site", with("Sec-Fetch-Site", "cross-site", remove(`{"subject_id":"ann"}`)), 403,
			"",
		},
		{
			"origin of another site",
			with("Origin", "https://evil.example", request(http.MethodDelete, "/sessions/s1", "")), 403, "",
		},

		{"a lone high surrogate", remove(`{"subject_id":"ann\ud800"}`), 400, "subject_id"},
		{"a high surrogate before another escape", remove(`{"subject_id":"\ud800\n"}`), 400, "subject_id"},
		{"two high surrogates", remove(`{"subject_id":"\uD83d\uD83d"}`), 400, "subject_id"},
		{"a lone low surrogate", remove(`{"subject_id":"ann","reason":"\udc00x"}`), 400, "reason"},
		{"a lone surrogate in a list", remove(`{"all":true,"client_ids":["a","\ud83d"]}`), 400, "client_ids"},
		{"invalid UTF-8", remove("{\"subject_id\":\"ann\xff\"}"), 400, "subject_id"},
		{"invalid UTF-8 in grants", post("/grants/remove", "{\"client_id\":\"\xc3\x28\"}"), 400, "client_id"},
		{
			"a lone surrogate in deliveries", post("/logout/deliveries/retry", `{"client_id":"\udfff"}`), 400,
			"client_id",
		},
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
		{
			"parameter of a delete", request(http.MethodDelete, "/sessions/s1?dry_run=true", ""), 400,
			"dry_run",
		},
		{
			"parameter of a removal", request(http.MethodPost, "/sessions/remove?subject_id=ann", `{}`), 400,
			"subject_id",
		},
		{"parameter of a retry", request(http.MethodPost, "/logout/deliveries/n1/retry?x=1", ""), 400, "x"},
		{"state of deliveries", request(http.MethodGet, "/logout/deliveries?state=lost", ""), 400, "state"},
		{
			"parameter of deliveries", request(http.MethodGet, "/logout/deliveries?subject_id=a", ""), 400,
			"subject_id",
		},

		{"no content type", with("Content-Type", "", remove(`{"subject_id":"ann"}`)), 415, ""},
		{
			"form", with("Content-Type", "application/x-www-form-urlencoded", remove("subject_id=ann")), 415,
			"",
		},
		{"compressed", with("Content-Encoding", "gzip", remove(`{"subject_id":"ann"}`)), 415, ""},
		{"too large", remove(`{"subject_id":"` + strings.Repeat("x", 64<<10) + `"}`), 413, ""},
		{
			"too large for a delete", request(http.MethodDelete, "/sessions/s1", strings.Repeat(" ", 65<<10)),
			413, "",
		},
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
		{
			"reader retries many", as("reader", post("/logout/deliveries/retry", `{"state":"refused"}`)), 403,
			"",
		},
		{"backend without an actor", as("", request(http.MethodGet, "/backend", "")), 401, ""},
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
		{"removal of grants of no subject", post("/grants/remove", `{"subject_id":""}`), 400, "subject_id"},
		{"removal of grants by a list", post("/grants/remove", `{"client_id":["shop"]}`), 400, "client_id"},
		{"removal of grants of a type", post("/grants/remove", `{"type":"token"}`), 400, "type"},
		{
			"removal of grants by client_ids", post("/grants/remove", `{"client_ids":["shop"]}`), 400,
			"client_ids",
		},
		{"retry of all", post("/logout/deliveries/retry", `{}`), 400, "state"},
		{"retry of a state", post("/logout/deliveries/retry", `{"state":"lost"}`), 400, "state"},
		{"retry of no client", post("/logout/deliveries/retry", `{"client_id":""}`), 400, "client_id"},
		{
			"form of a bulk retry",
			with("Content-Type", "text/plain", post("/logout/deliveries/retry", `{"state":"refused"}`)), 415,
			"",
		},
		{"large removal of grants", post("/grants/remove", strings.Repeat(" ", 65<<10)), 413, ""},
		{"body of a delete", request(http.MethodDelete, "/sessions/s1", `{"revoke_tokens":false}`), 400, ""},
		{
			"body of a retry", request(http.MethodPost, "/logout/deliveries/n1/retry", `{"state":"pending"}`),
			400, "",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := &manager{page: ticketstore.Page{}}
			response := serve(m, test.request)
			mustFail(t, response, test.status, test.field)
			if m.id != "" || m.revoked != nil || m.selected != nil || (m.removal != nil && test.field == "") {
				t.Error("a change was made nevertheless")
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
				t.Error("a refused attempt is not in the audit log")
			}
		})
	}
}

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	for _, route := range [][2]string{
		{http.MethodGet, "/sessions"}, {http.MethodGet, "/sessions/s1"}, {http.MethodDelete, "/sessions/s1"},
		{http.MethodPost, "/sessions/remove"}, {http.MethodGet, "/logout/deliveries"},
		{http.MethodPost, "/logout/deliveries/n1/retry"},
		{http.MethodGet, "/grants"}, {http.MethodPost, "/grants/remove"},
		{http.MethodPost, "/logout/deliveries/retry"},
		{http.MethodGet, "/jobs/j1"},
	} {
		for status, err := range map[int]error{
			503: ticketstore.ErrUnavailable, 404: ticketstore.ErrNotFound, 409: ticketstore.ErrConflict,
			500: io.ErrUnexpectedEOF,
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

// A 404 says what kind of thing does not exist.
func TestNotFoundNamesTheKind(t *testing.T) {
	t.Parallel()
	for route, want := range map[[2]string]string{
		{http.MethodGet, "/sessions/x"}:                 "no such active session",
		{http.MethodDelete, "/sessions/x"}:              "no such active session",
		{http.MethodPost, "/logout/deliveries/x/retry"}: "no such notification",
		{http.MethodGet, "/jobs/x"}:                     "no such job",
		{http.MethodDelete, "/backend/swap/x"}:          "no such swap",
		{http.MethodGet, "/ui/job?id=x"}:                "no such job",
	} {
		response := serve(&manager{err: ticketstore.ErrNotFound}, request(route[0], route[1], ""))
		raw, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusNotFound || !strings.Contains(string(raw), want) {
			t.Errorf("%v: %d %s, want 404 with %q", route, response.StatusCode, raw, want)
		}
	}
}

// If the store is unreachable, the outcome of a change is unknown, and the answer says so. For a read it does
// not.
func TestUnknownOutcomeIsReported(t *testing.T) {
	t.Parallel()
	for route, want := range map[[2]string]bool{
		{http.MethodGet, "/sessions/s1"}: false, {http.MethodGet, "/ui/session?session_id=s1"}: false,
		{http.MethodDelete, "/sessions/s1"}: true,
	} {
		response := serve(&manager{err: ticketstore.ErrUnavailable}, request(route[0], route[1], ""))
		answer, err := io.ReadAll(response.Body)
		if err != nil || !strings.Contains(string(answer), "cannot be reached") {
			t.Errorf("%v: %s, error %v; want that the store cannot be reached", route, answer, err)
		}
		if got := strings.Contains(string(answer), "may have been carried out"); got != want {
			t.Errorf("%v: %s: mentions a change: %v, want %v", route, answer, got, want)
		}
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	m := &manager{result: logout.Result{SessionsRemoved: 1}}
	serve(m, request(http.MethodPost, "/sessions/remove", `{"subject_id":"ann","reason":"left the company"}`))
	for _, want := range []string{
		"admin audit", "action=remove_sessions", "actor_id=writer", `actor_name="the writer"`,
		"remote_addr=192.0.2.7", "subject_id=ann",
		`reason="left the company"`, "sessions_removed=1", "status=200",
	} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
	m = &manager{}
	serve(m, request(http.MethodGet, "/sessions", ""))
	if m.log.Len() > 0 {
		t.Errorf("reads are in the log: %q", m.log.String())
	}
	r := request(http.MethodPost, "/sessions/remove", `{"subject_id":"ann"}`)
	r.Header.Set("Actor", "reader")
	serve(m, r)
	if log := m.log.String(); !strings.Contains(log, "status=403") ||
		!strings.Contains(log, "actor_id=reader") {
		t.Errorf("audit %q, want the refused attempt and its actor", log)
	}
}

// An unknown field is omitted from the line; a flag that is not set is known.
func TestAuditOmitsUnknownFields(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{
		"/sessions/remove": `{"subject_id":"ann"}`, "/grants/remove": `{"subject_id":"ann"}`,
		"/logout/deliveries/retry": `{"client_id":"shop"}`, "/ui/retry": "id=n1",
	} {
		m := &manager{}
		r := request(http.MethodPost, path, body)
		if path == "/ui/retry" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		serve(m, r)
		line := m.log.String()
		if !strings.Contains(line, "admin audit") || strings.Contains(line, `=""`) ||
			strings.Contains(line, "=[]") || strings.Contains(line, "=<nil>") {
			t.Errorf("%s: audit %q, want a line without empty fields", path, line)
		}
	}
	m := &manager{}
	serve(m, request(http.MethodPost, "/sessions/remove", `{"subject_id":"ann","revoke_tokens":false}`))
	for _, want := range []string{"all=false", "dry_run=false", "revoke_tokens=false", "sessions_removed=0"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("audit %q lacks %s", m.log.String(), want)
		}
	}
}

func TestMountNeedsItsParts(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]func(){
		"authorizer": func() { admin.Handler(admin.Config{Operations: &manager{}}) },
		"sessions":   func() { admin.Handler(admin.Config{Authorize: authorize}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Mount without %s succeeded, want a panic", name)
				}
			}()
			mount()
		}()
	}
}

func TestEscapedTextIsNotDecoded(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"subject_id":"\\ud800"}`: `\ud800`, `{"subject_id":"\ud83d\ude00!"}`: "\U0001f600!",
		`{"subject_id":"\u00e9\ud83d\udE00"}`: "é\U0001f600",
	} {
		m := &manager{}
		if got := serve(m,
			request(http.MethodPost, "/sessions/remove", body)); got.StatusCode != http.StatusOK ||
			m.removal.SubjectID != want {
			t.Errorf("%s: %d, removal %+v; want one of %q", body, got.StatusCode, m.removal, want)
		}
	}
}
