package admin_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

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
	m = &manager{status: hostadapter.BackendStatus{Err: ticketstore.ErrUnavailable, Sessions: -1, PendingDeliveries: -1}}
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
