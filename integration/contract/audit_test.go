package contract_test

// The audit log of a real host: a line for each change and each refused attempt, with documented fields.

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// lines returns the lines of the audit log so far.
func (s *site) lines() (all []map[string]any) {
	s.t.Helper()
	for text := range strings.Lines(s.audit.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			s.t.Fatalf("the audit has %q: %v", text, err)
		}
		all = append(all, line)
	}
	return all
}

// audited returns the single line about a request.
func (s *site) audited(requestID string) map[string]any {
	s.t.Helper()
	var found []map[string]any
	testenv.Eventually(s.t, "the line in the audit log", func() bool { // written after the response
		found = nil
		for _, line := range s.lines() {
			// The line at the end of a job also has the request's id, but no method.
			if line["request_id"] == requestID && line["method"] != nil {
				found = append(found, line)
			}
		}
		return len(found) > 0
	})
	if len(found) != 1 || requestID == "" {
		s.t.Fatalf("%d lines about the request %q, want one: %v", len(found), requestID, found)
	}
	return found[0]
}

// documentedFields returns the fields in the table of package admin's README.
func documentedFields(t *testing.T) map[string]bool {
	t.Helper()
	raw, err := os.ReadFile("../../hostadapter/admin/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(raw), "## Audit\n")
	section, _, _ = strings.Cut(section, "\n## ")
	fields := map[string]bool{}
	for row := range strings.Lines(section) {
		if cell, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " |"); strings.HasPrefix(row, "| `") {
			for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cell, -1) {
				fields[name[1]] = true
			}
		}
	}
	if len(fields) < 20 {
		t.Fatalf("the README documents the fields %v", fields)
	}
	return fields
}

func TestAuditOfChangesAndRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sid := s.signIn("ann", "shop")
	s.signIn("ann", "shop")
	const secret = "SECRET-d41d8cd98f00b204"
	withSecrets := func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+secret)
		r.Header.Set("Cookie", "session="+secret)
	}
	removal := `{"session_id":"` + sid + `","reason":"left"}`
	type fields = map[string]any
	for _, c := range []struct {
		actor, method, path, body string
		want                      fields
	}{
		{"writer", http.MethodPost, "/sessions/remove", removal, fields{
			"action": "remove_sessions", "result": "done", "status": 200.0, "session_id": sid,
			"reason": "left", "sessions_before": 1.0, "sessions_after": 0.0, "sessions_removed": 1.0,
		}},
		{"writer", http.MethodPost, "/grants/remove", `{"subject_id":"ann"}`, fields{
			"action": "remove_grants", "result": "done", "grants_before": 1.0, "grants_after": 0.0,
		}},
		{"writer", http.MethodDelete, "/sessions/sid%20002", "", fields{
			"action": "delete_session", "result": "done", "sessions_before": 1.0, "sessions_after": 0.0,
		}},
		{"writer", http.MethodDelete, "/sessions/unknown", "", fields{
			"action": "delete_session", "result": "failed", "status": 404.0, "session_id": "unknown",
		}},
		{"writer", http.MethodPost, "/logout/deliveries/retry", `{"client_id":"shop"}`, fields{
			"action": "retry_deliveries", "result": "done", "client_id": "shop",
		}},
		{"writer", http.MethodPost, "/logout/deliveries/n1/retry", "", fields{
			"action": "retry_delivery", "result": "failed", "notification_id": "n1",
		}},
		{"writer", http.MethodPost, "/backend/swap", `{"backend":"next"}`, fields{
			"action": "swap_backend", "result": "started", "backend": "next", "backend_before": "main",
		}},
		{"writer", http.MethodPost, "/sessions/remove", `{"` + secret + `":1}`, fields{
			"action": "remove_sessions", "result": "failed", "status": 400.0,
		}},
		{"lost", http.MethodPost, "/sessions/remove", `{"subject_id":"ann"}`, fields{
			"result": "unknown", "status": 503.0,
		}},
		{"reader", http.MethodPost, "/sessions/remove?x=" + secret, `{"subject_id":"ann"}`, fields{
			"action": "remove_sessions", "result": "refused", "status": 403.0, "actor_id": "reader",
			"permission": "change",
		}},
		{"stranger", http.MethodGet, "/sessions?subject_id=" + secret, "", fields{
			"action": "read", "result": "refused", "status": 403.0, "actor_id": "stranger",
		}},
		{"", http.MethodGet, "/backend", "", fields{"action": "read", "result": "refused", "status": 401.0}},
	} {
		response, _ := s.call(c.method, c.path, c.body, as(c.actor), withSecrets)
		line := s.audited(response.Header.Get("X-Request-Id"))
		for name, want := range c.want {
			if line[name] != want {
				t.Errorf("%s %s as %q: the audit has %s %v, want %v", c.method, c.path, c.actor, name,
					line[name], want)
			}
		}
	}
	documented := documentedFields(t)
	for _, line := range s.lines() {
		for name := range line {
			if !documented[name] {
				t.Errorf("the audit has %q, which the README does not document", name)
			}
		}
	}
	if text := s.audit.String() + s.log.String(); strings.Contains(text, secret) {
		t.Errorf("a secret is in the audit or the log:\n%s", text)
	}
	if strings.Contains(s.log.String(), "admin audit") {
		t.Error("audit lines are also in the log")
	}
}

// Users' changes of their own sessions are in the same audit log, with the user as actor. Reads are not
// logged.
func TestAuditOfAccounts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.signIn("ann", "shop")
	base := strings.TrimSuffix(s.url, mounted)
	s.must(http.StatusOK, http.MethodGet, base+"/login?user=ann", "")
	inJSON := header("Accept", "application/json")
	var own struct {
		Token    string
		Sessions []struct {
			ID string `json:"session_id"`
		}
	}
	err := json.Unmarshal(s.must(http.StatusOK, http.MethodGet, base+"/me/", "", inJSON), &own)
	if err != nil {
		t.Fatal(err)
	}
	token, here, other := "token="+own.Token, own.Sessions[0].ID, own.Sessions[1].ID
	documented := documentedFields(t)
	for _, c := range []struct {
		status     int
		path, form string
		want       map[string]any
	}{
		{http.StatusForbidden, "end", "token=stale", map[string]any{
			"action": "end_own_session", "result": "refused", "status": 403.0,
		}},
		{http.StatusNotFound, "end", token + "&session_id=unknown", map[string]any{
			"action": "end_own_session", "result": "failed", "session_id": "unknown",
		}},
		{http.StatusOK, "end", token + "&session_id=" + url.QueryEscape(other), map[string]any{
			"action": "end_own_session", "result": "done", "session_id": other, "sessions_removed": 1.0,
		}},
		{http.StatusOK, "revoke", token + "&client_id=shop", map[string]any{
			"action": "revoke_own_consent", "result": "done", "client_id": "shop",
		}},
		{http.StatusOK, "end-others", token, map[string]any{
			"action": "end_other_sessions", "result": "done", "sessions_removed": 0.0,
		}},
		{http.StatusOK, "end", token + "&session_id=" + url.QueryEscape(here), map[string]any{
			"action": "end_own_session", "result": "done", "session_id": here,
		}},
		{http.StatusUnauthorized, "end-others", token, map[string]any{
			"action": "end_other_sessions", "result": "refused", "status": 401.0,
		}},
	} {
		response, raw := s.call(http.MethodPost, base+"/me/"+c.path, c.form, inJSON,
			header("Content-Type", "application/x-www-form-urlencoded"))
		if response.StatusCode != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.path, c.form, response.StatusCode, raw, c.status)
		}
		line := s.audited(response.Header.Get("X-Request-Id"))
		c.want["actor_id"], c.want["by_session_id"], c.want["msg"] = "ann", here, "account audit"
		if c.status == http.StatusUnauthorized { // signed out by then
			c.want["actor_id"], c.want["by_session_id"] = nil, nil
		}
		for name, want := range c.want {
			if line[name] != want {
				t.Errorf("%s %s: the audit has %s %v, want %v", c.path, c.form, name, line[name], want)
			}
		}
		for name := range line {
			if !documented[name] {
				t.Errorf("the audit has %q, which the README does not document", name)
			}
		}
	}
	if text := s.audit.String(); strings.Contains(text, own.Token) || len(s.lines()) != 7 {
		t.Errorf("want seven lines, and no token:\n%s", text)
	}
}

// A job has a line at its start and one at its end, with the same request id, action and actor.
func TestAuditOfJobs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.signIn("ann", "shop")
	s.signIn("ben", "shop")
	documented := documentedFields(t)
	for _, c := range []struct {
		path, body string
		meanwhile  func(job string)
		end        map[string]any
	}{
		{"/sessions/remove", `{"all":true}`, nil, map[string]any{
			"action": "remove_sessions", "result": "done", "level": "INFO", "sessions_removed": 2.0,
			"grants_revoked": 2.0,
		}},
		{"/backend/swap", `{"backend":"slow"}`, func(job string) {
			s.must(http.StatusNoContent, http.MethodDelete, "/backend/swap/"+job, "")
		}, map[string]any{
			"action": "swap_backend", "result": "failed", "level": "WARN", "backend": "slow",
			"error": "it was aborted before its switch",
		}},
		{"/backend/swap", `{"backend":"next"}`, nil, map[string]any{
			"action": "swap_backend", "result": "done", "backend": "next", "backend_before": "main",
		}},
	} {
		response, raw := s.call(http.MethodPost, c.path, c.body)
		var started struct{ Job string }
		if err := json.Unmarshal(raw, &started); err != nil || response.StatusCode != http.StatusAccepted {
			t.Fatalf("%s %s: %d %s", c.path, c.body, response.StatusCode, raw)
		}
		if c.meanwhile != nil {
			c.meanwhile(started.Job)
		}
		var lines []map[string]any
		testenv.Eventually(t, "the line at the end of "+c.path, func() bool {
			lines = nil
			for _, line := range s.lines() {
				if line["request_id"] == response.Header.Get("X-Request-Id") {
					lines = append(lines, line)
				}
			}
			return len(lines) == 2
		})
		begin, end := lines[0], lines[1]
		if begin["result"] != "started" || begin["job"] != started.Job || end["job"] != started.Job ||
			end["actor_id"] != "writer" || end["actor_name"] != begin["actor_name"] {
			t.Errorf("the first line of a job is %v\nthe last is %v", begin, end)
		}
		for name, want := range c.end {
			if end[name] != want {
				t.Errorf("%s: the end has %s %v, want %v", c.body, name, end[name], want)
			}
		}
		for name := range end {
			if !documented[name] {
				t.Errorf("the audit has %q, which the README does not document", name)
			}
		}
	}
}

// Reads are not logged. A request keeps the id that a proxy set, if it is valid.
func TestNamesOfRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for given, kept := range map[string]bool{
		"4bf92f35-77b3.4da6:a3ce/929d=": true, "two words": false, strings.Repeat("x", 129): false,
		"\u00e9": false, "": false,
	} {
		response, _ := s.call(http.MethodGet, "/sessions", "", header("X-Request-Id", given))
		if got := response.Header.Get("X-Request-Id"); got == "" || (got == given) != kept {
			t.Errorf("a request with id %q got id %q", given, got)
		}
	}
	if len(s.lines()) != 0 {
		t.Errorf("reads are in the audit log: %v", s.lines())
	}
}

// full is a writer that fails.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// An audit line that cannot be written is logged with the reason.
func TestAuditWriteError(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := httptest.NewServer(admin.Handler(admin.Config{
		Operations: s.adapter.Operations(), Authorize: authorize, Audit: slog.NewJSONHandler(full{}, nil),
	}))
	defer server.Close()
	s.must(http.StatusOK, http.MethodPost, server.URL+"/grants/remove",
		`{"subject_id":"ann","reason":"test"}`)
	testenv.Eventually(t, "the line in the log", func() bool {
		text := s.log.String()
		return strings.Contains(text, "no space left on device") &&
			strings.Contains(text, "action=remove_grants") && strings.Contains(text, "reason=test")
	})
}
