package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FuzzRemoveBody: any body of a removal is refused with a valid problem document, or it is a valid removal
// that names its subject.
func FuzzRemoveBody(f *testing.F) {
	for _, seed := range []string{
		`{"subject_id":"ann"}`,
		`{"session_id":"s","client_ids":["a","b"],"reason":"x","dry_run":true,"revoke_tokens":false}`,
		`{"subject_id":""}`, `{"subject_id":null}`, `{"subject_id":"a","subject_id":"b"}`,
		`{"client_ids":[]}`, `{"client_ids":[null],"subject_id":"a"}`,
		`{"subject_id":"a\u0000"}`, `{"subject_id":"\ud800"}`, `{"all":true}`, `[]`, `{}`, `null`, ``,
		`{"a":{"a":{}}}`, `{"SUBJECT_ID":"a"}`,
		"{\"subject_id\":\"\xff\"}", `{"subject_id":"a"}{}`, `{"dry_run":"true","subject_id":"a"}`,
		`{"subject_id":1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m := &manager{}
		r := request(http.MethodPost, "/sessions/remove", string(body))
		r.Header.Set("Content-Type", "application/json")
		response := serve(m, r)
		expectReadable(t, response)
		if !utf8.ValidString(m.log.String()) {
			t.Errorf("the audit is not text: %q", m.log.String())
		}
		if m.removal == nil {
			if response.StatusCode < http.StatusBadRequest {
				t.Errorf("nothing was removed, but the answer is %d", response.StatusCode)
			}
			return
		}
		asked := logout.Ending{
			OperationID: "x", SubjectID: m.removal.SubjectID, SessionID: m.removal.SessionID,
			All:       m.removal.All,
			ClientIDs: m.removal.ClientIDs, Reason: logout.Terminated,
		}
		if err := asked.Validate(); (err == nil) != (response.StatusCode == http.StatusOK) {
			t.Errorf("status %d for a removal with the error: %v", response.StatusCode, err)
		}
		var sent struct {
			SubjectID *string `json:"subject_id"`
			SessionID *string `json:"session_id"`
			All       bool    `json:"all"`
		}
		if response.StatusCode == http.StatusOK &&
			(json.Unmarshal(body, &sent) != nil || sent.SubjectID == nil && sent.SessionID == nil &&
				!sent.All) {
			t.Errorf("a removal was made that %q does not request", body)
		}
	})
}

// FuzzQueryParameters: any query is refused with a valid problem document, or it is valid for a store.
func FuzzQueryParameters(f *testing.F) {
	for _, seed := range []string{
		"subject_id=ann&order=asc&count_requested=10",
		"created_after=2026-01-01T00:00:00Z&expires_before=2026-01-01T00%3A00%3A00%2B02:00",
		"results_token=AQ&request_prior_results=true", "state=pending&client_id=shop", "count_requested=-1",
		"count_requested=1e3",
		"subject_id=%00", "subject_id=%ff", "subject_id=a&subject_id=b", "a;b", "%zz", "=",
		"display_name=%F0%9F%A6%84", "order=up",
		"created_after=0001-01-01T00:00:00Z", "created_after=9999-12-31T23:59:60Z",
		strings.Repeat("x", 300) + "=1",
	} {
		f.Add(true, seed)
		f.Add(false, seed)
	}
	f.Fuzz(func(t *testing.T, sessions bool, query string) {
		m := &manager{
			page: ticketstore.Page{
				Sessions: []ticketstore.SessionDetail{detail}, ResultsToken: "t", HasNext: true,
			},
		}
		target := "/logout/deliveries"
		if sessions {
			target = "/sessions"
		}
		r := request(http.MethodGet, target, "")
		r.URL.RawQuery = query
		response := serve(m, r)
		expectReadable(t, response)
		if response.StatusCode != http.StatusOK {
			return
		}
		var err error
		if sessions {
			_, err = m.query.Walk()
		} else {
			_, err = m.delivery.Walk()
		}
		if err != nil {
			t.Errorf("%q was answered although it is invalid for stores: %v", query, err)
		}
	})
}

// FuzzPath: for any path and method the answer is valid, and only DELETE and POST make changes.
func FuzzPath(f *testing.F) {
	for _, path := range []string{
		"/sessions/s1", "/sessions/a%2Fb", "/sessions/%00", "/sessions/%ff", "/logout/deliveries/n1/retry",
		"//", "/sessions/remove", "/..", "/sessions/a/../remove",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, "BREW"} {
			f.Add(method, path)
		}
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://op.example/admin"+path, http.NoBody)
		if err != nil || !strings.HasPrefix(path, "/") {
			t.Skip("no request has this path or method")
		}
		r.Header.Set("Actor", "writer")
		m := &manager{}
		response := serve(m, r)
		switch {
		case response.StatusCode >= http.StatusInternalServerError:
			t.Errorf("%s %q: status %d is a server error", method, path, response.StatusCode)
		case strings.HasPrefix(r.URL.Path, "/admin/ui"), response.StatusCode/100 == 3,
			method == http.MethodHead:
		default:
			expectReadable(t, response)
		}
		if m.removal != nil && method != http.MethodDelete && method != http.MethodPost {
			t.Errorf("%s %s has removed %+v", method, path, m.removal)
		}
	})
}

// expectReadable checks that an answer is JSON in UTF-8, and that a problem document has the answer's status.
func expectReadable(t *testing.T, response *http.Response) {
	t.Helper()
	var answer map[string]any
	if response.StatusCode == http.StatusNoContent {
		return
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("status %d with an answer that is not JSON: %v", response.StatusCode, err)
	}
	if response.StatusCode < http.StatusBadRequest {
		return
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("status %d is sent as %q, want a problem", response.StatusCode, kind)
	}
	if response.StatusCode >= http.StatusInternalServerError {
		t.Errorf("the answer is a server error: %v", answer)
	}
	if answer["status"] != float64(response.StatusCode) {
		t.Errorf("the problem has status %v, the answer %d", answer["status"], response.StatusCode)
	}
}
