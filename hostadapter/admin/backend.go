package admin

// GET /backend.

import (
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

// The health of a backend.
const (
	statusReady       = "ready"
	statusDegraded    = "degraded" // not everything works, such as some changes
	statusUnavailable = "unavailable"
)

// getBackend answers 200 even if the backend is unavailable: operators need the details.
func (m *mount) getBackend(w http.ResponseWriter, r *http.Request, _ *audit) error {
	status := m.sessions.BackendStatus(r.Context())
	body := client.Backend{
		Status: statusReady, ConfiguredAs: m.sessions.BackendName(), Name: status.Name,
		Version: status.Version, Format: int(status.Format),
		Services: status.Services, Shared: status.Shared,
		Limits:   status.Limits,
		Sessions: known(status.Sessions), PendingDeliveries: known(status.PendingNotifications),
		Cache: (*client.Cache)(status.Cache),
	}
	if body.Services == nil {
		body.Services = []string{}
	}
	if body.PendingDeliveries != nil {
		body.PendingDeliveriesComplete = &status.PendingCounted
	}
	for _, host := range status.Hosts {
		body.Hosts = append(body.Hosts, client.Host{
			Name: host.Name, Version: host.Version, Beat: host.Beat.UTC(), Joined: host.Joined.UTC(),
		})
	}
	switch {
	case status.Err != nil:
		body.Status, body.Error = statusUnavailable, plain(status.Err.Error())
	case status.Trouble != "":
		body.Status, body.Error = statusDegraded, status.Trouble
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}
