package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestJob(t *testing.T) {
	t.Parallel()
	m := &manager{job: logout.Job{
		ID: "j1", State: logout.JobRunning, Phase: "sessions", Started: moment, Total: 10, Done: 4,
		Result: logout.Result{SessionsRemoved: 4},
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/jobs/j1", "")), `{"id":"j1","kind":"removal",
		"state":"running","phase":"sessions",
		"started":"2026-03-01T12:00:00Z","total":10,"done":4,"result":{"sessions_removed":4,
		"grants_revoked":0,"consents_revoked":0,
		"notifications_queued":0,"clients_left_alone":[]}}`)
	m.job = logout.Job{
		ID: "j1", State: logout.JobFailed, Started: moment, Finished: moment, Total: -1, Error: "disk full",
	}
	mustBe(t, serve(m, request(http.MethodGet, "/jobs/j1", "")), `{"id":"j1","kind":"removal",
		"state":"failed",
		"started":"2026-03-01T12:00:00Z","finished":"2026-03-01T12:00:00Z","done":0,
		"result":{"sessions_removed":0,"grants_revoked":0,
		"consents_revoked":0,"notifications_queued":0,"clients_left_alone":[]},"error":"disk full"}`)
}

// A swap is a job that counts records.
func TestSwapAsJob(t *testing.T) {
	t.Parallel()
	swap := hostadapter.SwapState{
		ID: "j1", From: "main", To: "next", Started: moment,
		Progress: transfer.Progress{Phase: transfer.Copying, Total: 10, Copied: 4},
	}
	const head, tail = `{"id":"j1","kind":"swap","started":"2026-03-01T12:00:00Z","total":10,"done":4,
		"swap":{"from":"main","to":"next","left":6,"changed":0,"rate_per_second":0},`, `}`
	for want, change := range map[string]func(s *hostadapter.SwapState){
		`"phase":"copying","state":"running"`: func(*hostadapter.SwapState) {},
		`"phase":"done","state":"done","finished":"2026-03-01T12:00:00Z"`: func(s *hostadapter.SwapState) {
			s.Finished, s.Progress.Phase = moment, transfer.Done
		},
		`"phase":"failed","state":"failed","finished":"2026-03-01T12:00:00Z","error":"disk full"`: func(
			s *hostadapter.SwapState,
		) {
			s.Finished, s.Progress.Phase, s.Err = moment, transfer.Failed, errors.New("disk full")
		},
		`"phase":"aborted","state":"failed","finished":"2026-03-01T12:00:00Z","error":"it was aborted ` +
			`before its switch"`: func(s *hostadapter.SwapState) {
			s.Finished, s.Progress.Phase, s.Err = moment, transfer.Aborted, context.Canceled
		},
	} {
		state := swap
		change(&state)
		mustBe(t, serve(&manager{swap: &state}, request(http.MethodGet, "/jobs/j1", "")), head+want+tail)
	}
}

func TestBackend(t *testing.T) {
	t.Parallel()
	m := &manager{status: hostadapter.BackendStatus{
		Description: ticketstore.Description{
			Name: "badger", Version: "v1", Format: 1, Services: []string{"tickets"}, Shared: true,
			Hosts: []ticketstore.Host{{
				Name: "node-1", Version: "v1", Beat: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
				Joined: time.Date(2030, 1, 2, 3, 4, 0, 0, time.UTC),
			}},
		},
		Sessions: 7, PendingNotifications: 1000,
		Cache: &grantstore.CacheFigures{Hits: 9, Fills: 2, Entries: 2, Bytes: 4096},
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/backend", "")), `{"status":"ready",
		"configured_as":"main","name":"badger",
		"version":"v1","format":1,
		"services":["tickets"],"shared":true,
		"hosts":[{"name":"node-1","version":"v1","beat":"2030-01-02T03:04:05Z",
			"joined":"2030-01-02T03:04:00Z"}],
		"sessions":7,"pending_deliveries":1000,
		"pending_deliveries_complete":false,"cache":{"hits":9,"misses":0,"unleased":0,"fills":2,
		"refusals":0,"kills":0,"evictions":0,"drops":0,"entries":2,"bytes":4096}}`)
	m = &manager{
		status: hostadapter.BackendStatus{
			Err: ticketstore.ErrUnavailable, Sessions: -1, PendingNotifications: -1,
		},
	}
	mustBe(t, serve(m, request(http.MethodGet, "/backend", "")),
		`{"status":"unavailable","configured_as":"main",`+
			`"error":"session store is unavailable","services":[],"shared":false}`)
	m = &manager{status: hostadapter.BackendStatus{
		Description: ticketstore.Description{Name: "badger", Trouble: "its disk is nearly full"}, Sessions: 7,
		PendingNotifications: -1,
	}}
	mustBe(t, serve(m, request(http.MethodGet, "/backend", "")),
		`{"status":"degraded","configured_as":"main",`+
			`"error":"its disk is nearly full","name":"badger","services":[],`+
			`"shared":false,"sessions":7}`)
}

// On a full disk the answer says what to do, not that the store is unreachable.
func TestChangeOnAFullDisk(t *testing.T) {
	t.Parallel()
	m := &manager{err: ticketstore.ErrNoSpace}
	response := serve(m, request(http.MethodPost, "/sessions/remove", `{"subject_id":"ann"}`))
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), "Make room") ||
		response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d %s, want 503 and the advice to free space", response.StatusCode, body)
	}
}
