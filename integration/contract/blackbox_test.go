package contract_test

// The admin routes over HTTP, with a real adapter.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type removed struct {
	Sessions      int      `json:"sessions_removed"`
	Grants        int      `json:"grants_revoked"`
	Consents      int      `json:"consents_revoked"`
	Notifications int      `json:"notifications_queued"`
	Left          []string `json:"clients_left_alone"`
}

type jobAnswer struct {
	ID, Kind, State, Phase, Error string
	Started, Finished             time.Time
	Total, Done                   int
	Result                        removed
}

// Requests for every documented status, on a real host.
func TestEveryStatus(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sid := url.PathEscape(s.signIn("ann", "shop"))
	as := func(actor string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Actor", actor) }
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	changes := [][3]string{
		{http.MethodPost, "/sessions/remove", `{"subject_id":"nobody"}`},
		{http.MethodDelete, "/sessions/unknown", ""},
		{http.MethodPost, "/grants/remove", `{"subject_id":"nobody"}`},
		{http.MethodPost, "/logout/deliveries/retry", `{"state":"refused"}`},
		{http.MethodPost, "/logout/deliveries/unknown/retry", ""},
	}
	reads := []string{
		"/sessions", "/sessions/" + sid, "/grants", "/logout/deliveries", "/jobs/unknown", "/backend",
	}
	check := func(status int, method, target, body string, change ...func(*http.Request)) {
		t.Helper()
		response, raw := s.call(method, target, body, change...)
		if response.StatusCode != status {
			t.Errorf("%s %s: status %d %s, want %d", method, target, response.StatusCode, raw, status)
		}
		if status >= http.StatusBadRequest &&
			response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d is not a problem document but %s", method, target, status,
				response.Header.Get("Content-Type"))
		}
	}
	for _, target := range reads {
		check(http.StatusUnauthorized, http.MethodGet, target, "", as(""))
		check(http.StatusMethodNotAllowed, http.MethodPatch, target, "")
		check(http.StatusBadRequest, http.MethodGet, target+"?misspelled=1", "")
		if target != "/jobs/unknown" {
			check(http.StatusOK, http.MethodGet, target, "", as("reader"))
		}
	}
	for _, c := range changes {
		check(http.StatusUnauthorized, c[0], c[1], c[2], as(""))
		check(http.StatusForbidden, c[0], c[1], c[2], as("reader"))
		check(http.StatusForbidden, c[0], c[1], c[2], header("Sec-Fetch-Site", "cross-site"))
		check(http.StatusRequestEntityTooLarge, c[0], c[1], strings.Repeat(" ", 65<<10))
		check(http.StatusMethodNotAllowed, http.MethodPut, c[1], "")
		check(http.StatusBadRequest, c[0], c[1]+"?dry_run=true", c[2])
		if c[2] != "" {
			check(http.StatusOK, c[0], c[1], c[2])
			check(http.StatusUnsupportedMediaType, c[0], c[1], c[2], header("Content-Type", "text/plain"))
			check(http.StatusBadRequest, c[0], c[1], `{}`)
			check(http.StatusBadRequest, c[0], c[1], `{"misspelled":1}`)
		}
	}
	for _, c := range [][2]string{
		{http.MethodGet, "/sessions/unknown"}, {http.MethodDelete, "/sessions/unknown"},
		{http.MethodGet, "/jobs/unknown"},
		{http.MethodPost, "/logout/deliveries/unknown/retry"}, {http.MethodGet, "/elsewhere"},
		{http.MethodGet, "/jobs"},
	} {
		check(http.StatusNotFound, c[0], c[1], "")
	}
	s.get(http.MethodGet, "/sessions/"+sid, "", http.StatusOK, nil) // not removed

	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	for _, target := range reads[:5] {
		check(http.StatusServiceUnavailable, http.MethodGet, target, "")
	}
	for _, c := range changes {
		check(http.StatusServiceUnavailable, c[0], c[1], c[2])
	}
	// Operators can read the status of an unreachable backend.
	var backend struct{ Status, Error, Name string }
	s.get(http.MethodGet, "/backend", "", http.StatusOK, &backend)
	if backend.Status != "unavailable" || backend.Error == "" || backend.Name != "badger" {
		t.Errorf("backend %+v, want it unavailable, with a reason and its last description", backend)
	}
}

// A removal of all is a job: the response is 202 with the job's Location, and the job ends with the counts of
// the dry run.
func TestRemovalOfAllOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 40 {
		s.signIn(fmt.Sprint("subject ", i%9), []string{"shop", "mail"}[i%2])
	}
	var planned removed
	s.get(http.MethodPost, "/sessions/remove", `{"all":true,"client_ids":["shop"],"dry_run":true}`,
		http.StatusOK, &planned)
	want := removed{Sessions: 40, Grants: 20, Consents: 20, Notifications: 20, Left: []string{"mail"}}
	if fmt.Sprint(planned) != fmt.Sprint(want) {
		t.Errorf("dry run %+v, want %+v", planned, want)
	}
	var started struct{ Job string }
	response := s.get(http.MethodPost, "/sessions/remove",
		`{"all":true,"client_ids":["shop"],"reason":"drill"}`, http.StatusAccepted, &started)
	location, err := response.Location()
	if err != nil || !strings.HasSuffix(location.Path, "/jobs/"+started.Job) || started.Job == "" {
		t.Fatalf("Location %v (%v), job %q; want the job's address", location, err, started.Job)
	}
	job := s.finished(location.String())
	if fmt.Sprint(job.Result) != fmt.Sprint(want) || job.Total != 40 || job.Done != 40 ||
		job.Kind != "removal" || job.Started.IsZero() {
		t.Errorf("job %+v, want the counts %+v and 40 of 40", job, want)
	}
	var backend struct {
		Status   string
		Sessions int
		Pending  int `json:"pending_deliveries"`
	}
	s.get(http.MethodGet, "/backend", "", http.StatusOK, &backend)
	if backend.Status != "ready" || backend.Sessions != 0 {
		t.Errorf("backend %+v, want it ready and empty", backend)
	}
	line := s.audited(response.Header.Get("X-Request-Id"))
	for name, want := range map[string]any{
		"action": "remove_sessions", "all": true, "job": started.Job, "actor_id": "writer", "reason": "drill",
		"status": 202.0, "result": "started", "sessions_before": 40.0,
	} {
		if line[name] != want {
			t.Errorf("the audit has %s %v, want %v", name, line[name], want)
		}
	}
}

// Of concurrent removals of all, one runs and requests meanwhile get 409. All sessions end in any case.
func TestConcurrentRemovalsOfAllOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const sessions = 600
	for i := range sessions {
		s.signIn(fmt.Sprint("subject ", i), "shop")
	}
	const callers = 8
	jobs, refused := make(chan string, callers), make(chan struct{}, callers)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			response, raw := s.call(http.MethodPost, "/sessions/remove", `{"all":true}`)
			switch response.StatusCode {
			case http.StatusAccepted:
				location, err := response.Location()
				if err != nil {
					t.Error(err)
					return
				}
				jobs <- location.String()
			case http.StatusConflict:
				refused <- struct{}{}
			default:
				t.Errorf("status %d %s, want 202 or 409", response.StatusCode, raw)
			}
		})
	}
	group.Wait()
	close(jobs)
	if len(refused) == 0 {
		t.Error("no removal was refused while another was running")
	}
	removed := 0
	for location := range jobs {
		removed += s.finished(location).Result.Sessions
	}
	if removed != sessions {
		t.Errorf("%d sessions removed in all, want %d", removed, sessions)
	}
}

func (s *site) finished(address string) jobAnswer {
	s.t.Helper()
	var job jobAnswer
	testenv.Eventually(s.t, "the job is done", func() bool {
		job = jobAnswer{}
		s.get(http.MethodGet, address, "", http.StatusOK, &job)
		if job.State != "done" && job.State != "running" {
			s.t.Fatalf("job %+v, want it running or done", job)
		}
		return job.State == "done"
	})
	return job
}

// follow reads a listing page by page along its Link headers.
func (s *site) follow(target, rel string) (rows []map[string]any, last string) {
	s.t.Helper()
	for address := s.url + target; ; {
		var page struct {
			Results []map[string]any
		}
		response := s.get(http.MethodGet, address, "", http.StatusOK, &page)
		if rel == "prev" {
			rows = append(page.Results, rows...)
		} else {
			rows = append(rows, page.Results...)
		}
		last = address
		next := ""
		for _, link := range response.Header.Values("Link") {
			reference, parameter, _ := strings.Cut(link, ">; ")
			if parameter == `rel="`+rel+`"` {
				to, err := response.Request.URL.Parse(strings.TrimPrefix(reference, "<"))
				if err != nil {
					s.t.Fatal(err)
				}
				next = to.String()
			}
		}
		if next == "" {
			return rows, last
		}
		address = next
	}
}

// Sessions, grants and deliveries can be paged forward and backward by their links.
func TestPagingOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for range 11 {
		s.signIn("ann", "shop")
	}
	for i := range 11 {
		sid := s.signIn("bob", "shop")
		if i%2 == 0 {
			s.get(http.MethodDelete, "/sessions/"+url.PathEscape(sid), "", http.StatusOK, nil)
		}
	}
	// A notification in flight changes while its page is read.
	testenv.Eventually(t, "no notification is in flight", func() bool {
		rows, _ := s.follow("/logout/deliveries?state=pending", "next")
		return len(rows) == 0
	})
	for target, want := range map[string]int{
		"/sessions?subject_id=ann&count_requested=3": 11, "/grants?subject_id=ann&count_requested=3": 22,
		"/grants?subject_id=ann&type=refresh_token&count_requested=2&order=asc": 11,
		"/logout/deliveries?client_id=shop&count_requested=4":                   6,
	} {
		forward, last := s.follow(target, "next")
		if len(forward) != want {
			t.Errorf("%s: %d rows by following links, want %d", target, len(forward), want)
		}
		back, _ := s.follow(strings.TrimPrefix(last, s.url), "prev")
		if fmt.Sprint(back) != fmt.Sprint(forward) {
			t.Errorf("%s: backward the rows are\n%v, want\n%v", target, back, forward)
		}
		for _, row := range forward {
			for _, secret := range []string{"data", "key", "ticket"} {
				if _, shown := row[secret]; shown {
					t.Errorf("%s shows %q", target, secret)
				}
			}
		}
	}
	var counted struct {
		Grants   int `json:"grants_revoked"`
		Consents int `json:"consents_revoked"`
	}
	s.get(http.MethodPost, "/grants/remove", `{"subject_id":"ann","type":"refresh_token"}`, http.StatusOK,
		&counted)
	if counted.Grants != 11 || counted.Consents != 0 {
		t.Errorf("removal of ann's refresh tokens %+v, want 11", counted)
	}
	if left, _ := s.follow("/grants?subject_id=ann", "next"); len(left) != 11 {
		t.Errorf("%d grants of ann left, want her 11 consents", len(left))
	}
}

// Refused notifications can be retried by client and state.
func TestBulkRetryOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for range 5 {
		s.get(http.MethodDelete, "/sessions/"+url.PathEscape(s.signIn("ann", "shop")), "", http.StatusOK, nil)
	}
	testenv.Eventually(t, "five notifications are refused", func() bool {
		rows, _ := s.follow("/logout/deliveries?client_id=shop&state=refused", "next")
		return len(rows) == 5
	})
	var counted struct {
		Queued int `json:"notifications_queued"`
	}
	s.get(http.MethodPost, "/logout/deliveries/retry", `{"client_id":"shop","state":"refused"}`,
		http.StatusOK, &counted)
	if counted.Queued != 5 {
		t.Errorf("%d notifications retried, want 5", counted.Queued)
	}
	s.get(http.MethodPost, "/logout/deliveries/retry", `{"client_id":"mail"}`, http.StatusOK, &counted)
	if counted.Queued != 0 {
		t.Errorf("%d notifications of a different client retried, want none", counted.Queued)
	}
}

// A DELETE of an ended session revokes the offline tokens that outlived it, and reports them. A second DELETE
// finds nothing.
func TestDeleteOfAnEndedSessionWithOfflineTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sid := s.signIn("ann", "shop")
	now := time.Now().UTC()
	_, err := s.engine.Grants().Apply(s.t.Context(), &grantstore.Batch{
		OperationID: "offline", Use: &grantstore.Use{SessionID: sid, ClientID: "shop"},
		Store: []grantstore.Grant{{
			Ref:       grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf("offline")},
			RequestID: "offline", SubjectID: "ann", SessionID: sid, ClientID: "shop", Created: now,
			Expires: now.Add(time.Hour), Offline: true, Data: []byte("SEALED"),
		}},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.engine.Logout().End(t.Context(), &logout.Ending{
		OperationID: "sign-out", SubjectID: "ann", SessionID: sid, Reason: logout.UserLogout,
		KeepOffline: true, KeepConsents: true,
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	target := "/sessions/" + url.PathEscape(sid)
	response, body := s.call(http.MethodDelete, target, "")
	var result struct {
		SessionsRemoved int `json:"sessions_removed"`
		GrantsRevoked   int `json:"grants_revoked"`
	}
	if response.StatusCode != http.StatusOK || json.Unmarshal(body, &result) != nil ||
		result.SessionsRemoved != 0 || result.GrantsRevoked != 1 {
		t.Errorf("DELETE answered %d %s; want 200, no session and one grant", response.StatusCode, body)
	}
	if response, body := s.call(http.MethodDelete, target, ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("the second DELETE answered %d %s, want 404", response.StatusCode, body)
	}
}
