package admin_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// swapManager is a manager with something to swap.
type swapManager struct {
	manager
	did string
}

func (m *swapManager) Swap(_ context.Context, name string) (string, error) {
	m.did = "swap to " + name
	return "j1", m.err
}

func (m *swapManager) Upgrade(_ context.Context, name string) (string, error) {
	m.did = "upgrade to " + name
	return "j1", m.err
}

func (m *swapManager) AbortSwap(job string) error {
	m.did = "abort " + job
	return m.err
}

func (m *swapManager) BackendName() string    { return "main" }
func (m *swapManager) BackendNames() []string { return []string{"main", "next"} }

// What the audit says of the answer is what was answered.
func TestSwapsAreAudited(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method, target, body string
		err                  error
		did                  string
		logged               []string
	}{
		"swap":     {http.MethodPost, "/backend/swap", `{"backend":"next"}`, nil, "swap to next", []string{"status=202", "backend=next", "job=j1"}},
		"upgrade":  {http.MethodPost, "/backend/swap", `{"backend":"next","same_data":true}`, nil, "upgrade to next", []string{"status=202", "same_data=true"}},
		"refused":  {http.MethodPost, "/backend/swap", `{"backend":"next"}`, hostadapter.ErrSwap, "swap to next", []string{"status=409"}},
		"unknown":  {http.MethodPost, "/backend/swap", `{"backend":"x"}`, ticketstore.ErrNotFound, "swap to x", []string{"status=404"}},
		"no name":  {http.MethodPost, "/backend/swap", `{}`, nil, "", []string{"status=400"}},
		"too late": {http.MethodDelete, "/backend/swap/j1", "", hostadapter.ErrSwap, "abort j1", []string{"status=409"}},
		"abort":    {http.MethodDelete, "/backend/swap/j1", "", nil, "abort j1", []string{"status=204", "action=abort_swap"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &swapManager{manager: manager{err: test.err}}
			router := mux.NewRouter()
			admin.Mount(router.PathPrefix("/admin").Subrouter(), m, authorize)
			w := httptest.NewRecorder()
			router.ServeHTTP(w, request(test.method, test.target, test.body))
			if want := "status=" + strconv.Itoa(w.Code); want != test.logged[0] || m.did != test.did {
				t.Errorf("answered %d and did %q, want %s and %q", w.Code, m.did, test.logged[0], test.did)
			}
			for _, want := range test.logged {
				if !strings.Contains(m.log.String(), want) {
					t.Errorf("the answer was %d, the audit lacks %s: %s", w.Code, want, m.log.String())
				}
			}
		})
	}
}
