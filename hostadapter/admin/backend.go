package admin

// GET /backend.

import (
	"net/http"
	"time"
)

// The health of a backend.
const (
	statusReady       = "ready"
	statusDegraded    = "degraded" // it refuses some changes, and goes on with the rest
	statusUnavailable = "unavailable"
)

// backendBody is what runs, in JSON. What is not known is absent.
type backendBody struct {
	// Status is "ready", or "degraded" or "unavailable", and then Error says why.
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
	// ConfiguredAs is what the server's configuration calls what serves, absent where it has no names.
	ConfiguredAs string `json:"configured_as,omitempty"`
	// Name and the rest of the description are what the backend said last, also while it is unavailable.
	Name     string   `json:"name,omitempty"`
	Version  string   `json:"version,omitempty"`
	Format   uint32   `json:"format,omitempty"`
	Services []string `json:"services"`
	Shared   bool     `json:"shared"`
	// Hosts have a shared store open.
	Hosts []hostBody `json:"hosts,omitempty"`
	// Limits say what does not work with this backend.
	Limits   []string `json:"limits,omitempty"`
	Sessions *int     `json:"sessions,omitempty"`
	// PendingNotifications are the notifications that wait. There are more when PendingDeliveriesComplete is
	// false.
	PendingNotifications      *int  `json:"pending_deliveries,omitempty"`
	PendingDeliveriesComplete *bool `json:"pending_deliveries_complete,omitempty"`
	// Cache is absent where no access tokens are cached.
	Cache *cacheBody `json:"cache,omitempty"`
}

// hostBody is a ticketstore.Host in JSON.
type hostBody struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Beat    time.Time `json:"beat"`
}

// cacheBody is grantstore.CacheFigures in JSON.
type cacheBody struct {
	Hits      uint64 `json:"hits"`
	Misses    uint64 `json:"misses"`
	Fills     uint64 `json:"fills"`
	Refusals  uint64 `json:"refusals"`
	Kills     uint64 `json:"kills"`
	Evictions uint64 `json:"evictions"`
	Drops     uint64 `json:"drops"`
	Entries   int    `json:"entries"`
	Bytes     int64  `json:"bytes"`
}

// getBackend answers 200 also when the backend is unavailable: that is what an operator needs to see.
func (m *mount) getBackend(w http.ResponseWriter, r *http.Request, _ *audit) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	status := m.sessions.BackendStatus(r.Context())
	body := backendBody{
		Status: statusReady, ConfiguredAs: m.sessions.BackendName(), Name: status.Name,
		Version: status.Version, Format: status.Format,
		Services: status.Services, Shared: status.Shared,
		Limits:   status.Limits,
		Sessions: known(status.Sessions), PendingNotifications: known(status.PendingNotifications),
		Cache: (*cacheBody)(status.Cache),
	}
	if body.Services == nil {
		body.Services = []string{}
	}
	if body.PendingNotifications != nil {
		body.PendingDeliveriesComplete = &status.PendingCounted
	}
	for _, host := range status.Hosts {
		body.Hosts = append(body.Hosts, hostBody{host.Name, host.Version, host.Beat.UTC()})
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
