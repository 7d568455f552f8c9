package admin_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The audit log has the status and error of the answer.
func TestSwapsAreAudited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, target, body string
		err                  error
		did                  string
		logged               []string
	}{
		"swap": {
			http.MethodPost, "/backend/swap", `{"backend":"next"}`, nil, "swap to next",
			[]string{"status=202", "backend=next", "job=j1"},
		},
		"upgrade": {
			http.MethodPost, "/backend/swap", `{"backend":"next","same_data":true}`, nil, "upgrade to next",
			[]string{"status=202", "same_data=true"},
		},
		"refused": {
			http.MethodPost, "/backend/swap", `{"backend":"next"}`, hostadapter.ErrSwap, "swap to next",
			[]string{"status=409"},
		},
		"unknown": {
			http.MethodPost, "/backend/swap", `{"backend":"x"}`, ticketstore.ErrNotFound, "swap to x",
			[]string{"status=404"},
		},
		"no name": {http.MethodPost, "/backend/swap", `{}`, nil, "", []string{"status=400"}},
		"too late": {
			http.MethodDelete, "/backend/swap/j1", "", hostadapter.ErrSwap, "abort j1",
			[]string{"status=409"},
		},
		"abort": {
			http.MethodDelete, "/backend/swap/j1", "", nil, "abort j1",
			[]string{"status=204", "action=abort_swap"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &manager{err: test.err}
			code := serve(m, request(test.method, test.target, test.body)).StatusCode
			if want := "status=" + strconv.Itoa(code); want != test.logged[0] || m.did != test.did {
				t.Errorf("answered %d and did %q, want %s and %q", code, m.did, test.logged[0], test.did)
			}
			for _, want := range test.logged {
				if !strings.Contains(m.log.String(), want) {
					t.Errorf("the answer was %d, the audit log lacks %s: %s", code, want, m.log.String())
				}
			}
		})
	}
}
