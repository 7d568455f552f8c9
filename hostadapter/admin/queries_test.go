package admin_test

// Invalid queries, and the links of listings.

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Malformed queries are refused: package url would drop malformed pairs, and a removal of one session would
// become a removal of all sessions of its subject.
func TestMalformedQueriesAreRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/sessions", "/grants", "/logout/deliveries", "/ui/", "/ui/deliveries", "/ui/session", "/ui/remove",
		"/ui/job", "/sessions/s1", "/jobs/1", "/backend",
	} {
		for _, query := range []string{
			"subject_id=ann&session_id=a;b", "subject_id=ann;session_id=s1", "subject_id=100%",
			"subject_id=ann&session_id=a%zz", ";", "%",
		} {
			r := request(http.MethodGet, path, "")
			r.URL.RawQuery = query
			m := &manager{}
			if response := serve(m, r); response.StatusCode != http.StatusBadRequest {
				t.Errorf("%s?%s: %d, want 400", path, query, response.StatusCode)
			}
		}
	}
}

// With any filter the headers fit into the default buffers of an nginx proxy.
func TestLinksOfALongFilterAreOmitted(t *testing.T) {
	t.Parallel()
	for length, want := range map[int]int{1000: 2, 60_000: 0} {
		m := &manager{
			page: ticketstore.Page{ResultsToken: strings.Repeat("t", length), HasPrev: true, HasNext: true},
		}
		response := serve(m, request(http.MethodGet, "/sessions", ""))
		body, err := io.ReadAll(response.Body)
		if got := len(response.Header.Values("Link")); err != nil || got != want ||
			!strings.Contains(string(body), `"results_token":"ttt`) {
			t.Errorf("a token of %d bytes: %d links, want %d", length, got, want)
		}
	}
}
