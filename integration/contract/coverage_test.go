package contract_test

// A real host gives every documented response, and no other.

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/integration/contract"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	document, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Valid(); err != nil {
		t.Error(err)
	}
}

// The served document is the one that the tests read. It requires the permission to read.
func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var served struct {
		OpenAPI string
		Paths   map[string]any
	}
	s.get(http.MethodGet, "/openapi.json", "", http.StatusOK, &served)
	if !strings.HasPrefix(served.OpenAPI, "3.1") || served.Paths["/sessions"] == nil {
		t.Errorf("openapi.json is %q with %d paths, want OpenAPI 3.1", served.OpenAPI, len(served.Paths))
	}
}

// operation returns a valid request to an operation, by an actor who may make changes.
type operation struct {
	method, path, body string
	change             bool
}

var operations = []operation{
	{http.MethodGet, "/sessions", "", false},
	{http.MethodGet, "/sessions/unknown", "", false},
	{http.MethodGet, "/jobs/unknown", "", false},
	{http.MethodGet, "/grants", "", false},
	{http.MethodGet, "/logout/deliveries", "", false},
	{http.MethodGet, "/backend", "", false},
	{http.MethodGet, "/openapi.json", "", false},
	{http.MethodPost, "/sessions/remove", `{"subject_id":"nobody"}`, true},
	{http.MethodDelete, "/sessions/unknown", "", true},
	{http.MethodPost, "/grants/remove", `{"subject_id":"nobody"}`, true},
	{http.MethodPost, "/logout/deliveries/retry", `{"state":"refused"}`, true},
	{http.MethodPost, "/logout/deliveries/unknown/retry", "", true},
	{http.MethodPost, "/backend/swap", `{"backend":"unknown"}`, true},
	{http.MethodDelete, "/backend/swap/unknown", "", true},
	{http.MethodPost, "/backend/backup", "", true},
}

// A real host gives each documented response of each route. The transport of the site's client checks that
// each response is documented.
func TestEveryDocumentedAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	document, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	s.client.Transport.(*contract.Transport).Document = document

	s.refuseEach()
	s.listEach()
	s.changeEach()
	s.useAccount()
	s.swapAndBackUp()
	s.loseTheStore()

	documented, seen := document.Answers(), document.Seen()
	missing := 0
	for _, answer := range documented {
		if seen[answer] == 0 {
			missing++
			t.Errorf("%s %s: %s is documented, but no request got this response", answer.Method, answer.Path,
				answer.Status)
		}
	}
	t.Logf("coverage: %d of %d documented responses", len(documented)-missing, len(documented))
}

func as(actor string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Actor", actor) }
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// must sends a request whose response must have that status.
func (s *site) must(status int, method, target, body string, change ...func(*http.Request)) []byte {
	s.t.Helper()
	response, raw := s.call(method, target, body, change...)
	if response.StatusCode != status {
		s.t.Fatalf("%s %s %s: status %d %s, want %d", method, target, body, response.StatusCode, raw, status)
	}
	return raw
}

// refuseEach makes every operation refuse a request in each way that requires no state.
func (s *site) refuseEach() {
	s.t.Helper()
	for _, o := range operations {
		s.must(http.StatusUnauthorized, o.method, o.path, o.body, as(""))
		s.must(http.StatusForbidden, o.method, o.path, o.body, as("stranger"))
		s.must(http.StatusInternalServerError, o.method, o.path, o.body, as("broken"))
		s.must(http.StatusServiceUnavailable, o.method, o.path, o.body, as("lost"))
		s.must(http.StatusBadRequest, o.method, o.path+"?misspelled=1", o.body)
		s.must(http.StatusMethodNotAllowed, http.MethodPatch, o.path, "")
		if o.change {
			s.must(http.StatusForbidden, o.method, o.path, o.body, as("reader"))
			s.must(http.StatusRequestEntityTooLarge, o.method, o.path, strings.Repeat(" ", 65<<10))
		}
		if o.body != "" {
			s.must(http.StatusUnsupportedMediaType, o.method, o.path, o.body,
				header("Content-Type", "text/plain"))
		}
	}
	for s.statusOf(http.MethodGet, "/sessions", as("")) != http.StatusTooManyRequests {
	}
	for _, o := range operations {
		s.must(http.StatusTooManyRequests, o.method, o.path, o.body, as(""))
	}
	s.must(http.StatusNotFound, http.MethodGet, "/elsewhere", "")
}

// statusOf sends a request without a body and returns the response's status.
func (s *site) statusOf(method, target string, change ...func(*http.Request)) int {
	s.t.Helper()
	response, _ := s.call(method, target, "", change...)
	return response.StatusCode
}

// listEach reads each listing with every parameter.
func (s *site) listEach() {
	s.t.Helper()
	sid := s.signIn("ann", "shop")
	s.signIn("ann", "shop")
	at := url.PathEscape(sid)
	s.must(http.StatusOK, http.MethodGet, "/sessions/"+at, "")
	s.must(http.StatusOK, http.MethodGet, "/backend", "")
	s.must(http.StatusOK, http.MethodGet, "/openapi.json", "")
	common := "&order=asc&count_requested=1"
	for target, filter := range map[string]string{
		"/sessions": "session_id=&subject_id=ann&display_name=ANN&client_id=shop&" +
			"created_after=2020-01-01T00:00:00Z&created_before=2999-01-01T00:00:00Z&" +
			"expires_after=2020-01-01T00:00:00%2B02:00&expires_before=2999-01-01T00:00:00Z",
		"/grants":            "subject_id=ann&client_id=shop&type=refresh_token",
		"/logout/deliveries": "state=pending&client_id=shop&session_id=" + at,
	} {
		var page struct {
			Results []map[string]any
			Token   string `json:"results_token"`
		}
		raw := s.must(http.StatusOK, http.MethodGet, target+"?"+filter+common, "")
		if err := json.Unmarshal(raw, &page); err != nil {
			s.t.Fatal(err)
		}
		if page.Token != "" {
			s.must(http.StatusOK, http.MethodGet, target+"?request_prior_results=true&results_token="+
				url.QueryEscape(page.Token), "")
		}
	}
}

// changeEach makes removals and retries deliveries.
func (s *site) changeEach() {
	s.t.Helper()
	for _, path := range []string{"/sessions/unknown", "/jobs/unknown"} {
		s.must(http.StatusNotFound, http.MethodGet, path, "")
	}
	s.must(http.StatusNotFound, http.MethodDelete, "/sessions/unknown", "")
	s.must(http.StatusNotFound, http.MethodPost, "/logout/deliveries/unknown/retry", "")
	var grants struct{ Results []struct{ ID string } }
	s.get(http.MethodGet, "/grants?subject_id=ann", "", http.StatusOK, &grants)
	for _, dryRun := range []string{"true", "false"} {
		s.must(http.StatusOK, http.MethodPost, "/grants/remove",
			`{"id":"`+grants.Results[0].ID+`","dry_run":`+dryRun+`}`)
	}
	s.must(http.StatusBadRequest, http.MethodPost, "/grants/remove", `{"id":"unknown"}`)
	s.must(http.StatusOK, http.MethodPost, "/sessions/remove", `{"subject_id":"ann","session_id":"sid 001",
		"client_ids":["shop"],"reason":"test","remove_server_side_session":false,"revoke_tokens":true,
		"send_backchannel_logout_notification":true,"revoke_consents":true,"dry_run":true,"all":false}`)
	s.must(http.StatusOK, http.MethodDelete, "/sessions/sid%20001", "")
	var page struct{ Results []struct{ ID string } }
	testenv.Eventually(s.t, "the client has refused the notification", func() bool {
		s.get(http.MethodGet, "/logout/deliveries?state=refused", "", http.StatusOK, &page)
		return len(page.Results) == 1
	})
	s.must(http.StatusOK, http.MethodPost, "/logout/deliveries/"+page.Results[0].ID+"/retry", "")
	s.must(http.StatusOK, http.MethodPost, "/logout/deliveries/retry",
		`{"state":"refused","client_id":"shop","session_id":"sid 001"}`)
	s.must(http.StatusOK, http.MethodPost, "/grants/remove",
		`{"subject_id":"ann","client_id":"shop","session_id":"sid 002","type":"refresh_token",
		"reason":"test"}`)
	s.must(http.StatusOK, http.MethodHead, "/sessions", "")

	for i := range 600 {
		s.signIn(fmt.Sprint("subject ", i), "shop")
	}
	jobs := make(chan string, 8)
	var group sync.WaitGroup
	for range cap(jobs) {
		group.Go(func() {
			response, _ := s.call(http.MethodPost, "/sessions/remove", `{"all":true}`)
			if location, err := response.Location(); err == nil {
				jobs <- location.String()
			}
		})
	}
	group.Wait()
	close(jobs)
	for location := range jobs {
		s.finished(location)
	}
}

// useAccount makes the requests of users about their own sessions.
func (s *site) useAccount() {
	s.t.Helper()
	base := strings.TrimSuffix(s.url, mounted)
	home := base + "/me/"
	inJSON := header("Accept", "application/json")
	form := header("Content-Type", "application/x-www-form-urlencoded")
	ends := []string{"end", "end-others", "revoke"}
	s.must(http.StatusUnauthorized, http.MethodGet, home, "", inJSON)
	for _, end := range ends {
		s.must(http.StatusUnauthorized, http.MethodPost, home+end, "", inJSON)
	}
	s.must(http.StatusOK, http.MethodGet, base+"/login?user=ann", "")
	var own struct{ Token string }
	if err := json.Unmarshal(s.must(http.StatusOK, http.MethodGet, home, "", inJSON), &own); err != nil {
		s.t.Fatal(err)
	}
	s.must(http.StatusOK, http.MethodGet, home, "", header("Accept", "text/html"))
	s.must(http.StatusMethodNotAllowed, http.MethodPut, home, "", inJSON)
	token := "token=" + url.QueryEscape(own.Token)
	fields := map[string]string{"end": "&session_id=unknown", "revoke": "&client_id=shop"}
	for _, end := range ends {
		s.must(http.StatusBadRequest, http.MethodPost, home+end, "%zz", inJSON, form)
		s.must(http.StatusForbidden, http.MethodPost, home+end, "token=stale"+fields[end], inJSON, form)
		s.must(http.StatusUnsupportedMediaType, http.MethodPost, home+end, "{}", inJSON)
	}
	s.must(http.StatusNotFound, http.MethodPost, home+"end", token+fields["end"], inJSON, form)
	s.must(http.StatusOK, http.MethodPost, home+"end-others", token, inJSON, form)
	s.must(http.StatusOK, http.MethodPost, home+"revoke", token+fields["revoke"], inJSON, form)
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, end := range ends {
		s.must(http.StatusSeeOther, http.MethodPost, home+end, token+fields[end], form)
	}
	// The session was replaced while the jar keeps the old cookie: sign in again.
	var sids struct {
		Sessions []struct {
			ID string `json:"session_id"`
		}
	}
	if err := json.Unmarshal(s.must(http.StatusOK, http.MethodGet, home, "", inJSON), &sids); err != nil {
		s.t.Fatal(err)
	}
	s.must(http.StatusOK, http.MethodPost, home+"end", token+"&session_id="+sids.Sessions[0].ID, inJSON, form)
	s.must(http.StatusOK, http.MethodGet, base+"/login?user=ann", "")
}

// swapAndBackUp makes backups and swaps, one of which it aborts.
func (s *site) swapAndBackUp() {
	s.t.Helper()
	s.must(http.StatusOK, http.MethodPost, "/backend/backup", "")
	s.must(http.StatusNotFound, http.MethodPost, "/backend/swap", `{"backend":"unknown"}`)
	s.must(http.StatusNotFound, http.MethodDelete, "/backend/swap/unknown", "")
	var slow, next struct{ Job string }
	s.get(http.MethodPost, "/backend/swap", `{"backend":"slow"}`, http.StatusAccepted, &slow)
	s.must(http.StatusConflict, http.MethodPost, "/backend/swap", `{"backend":"next"}`)
	s.must(http.StatusConflict, http.MethodPost, "/backend/backup", "")
	s.must(http.StatusNoContent, http.MethodDelete, "/backend/swap/"+slow.Job, "")
	testenv.Eventually(s.t, "the swap is aborted", func() bool {
		var job jobAnswer
		s.get(http.MethodGet, "/jobs/"+slow.Job, "", http.StatusOK, &job)
		return job.State == "failed"
	})
	s.get(http.MethodPost, "/backend/swap", `{"backend":"next","same_data":false}`, http.StatusAccepted,
		&next)
	s.finished(s.url + "/jobs/" + next.Job)
	s.must(http.StatusConflict, http.MethodDelete, "/backend/swap/"+next.Job, "")
}

// loseTheStore closes the serving engine.
func (s *site) loseTheStore() {
	s.t.Helper()
	if err := s.engine.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.must(http.StatusOK, http.MethodGet, "/backend", "")
	home := strings.TrimSuffix(s.url, mounted) + "/me/"
	inJSON := header("Accept", "application/json")
	s.must(http.StatusServiceUnavailable, http.MethodGet, home, "", inJSON)
	for _, end := range []string{"end", "end-others", "revoke"} {
		s.must(http.StatusServiceUnavailable, http.MethodPost, home+end, "token=t", inJSON,
			header("Content-Type", "application/x-www-form-urlencoded"))
	}
}
