package admin

// GET /backend.

import (
	"net/http"
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
	// Name and the rest of the description are what the backend said last, also while it is unavailable.
	Name     string   `json:"name,omitempty"`
	Version  string   `json:"version,omitempty"`
	Format   uint32   `json:"format,omitempty"`
	Services []string `json:"services"`
	Shared   bool     `json:"shared"`
	// Limits say what does not work with this backend.
	Limits   []string `json:"limits,omitempty"`
	Sessions *int     `json:"sessions,omitempty"`
	// PendingNotifications are the notifications that wait. There are more when PendingDeliveriesComplete is
	// false.
	PendingNotifications      *int  `json:"pending_deliveries,omitempty"`
	PendingDeliveriesComplete *bool `json:"pending_deliveries_complete,omitempty"`
}

// getBackend answers 200 also when the backend is unavailable: that is what an operator needs to see.
func (m *mount) getBackend(w http.ResponseWriter, r *http.Request, _ *audit) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	status := m.sessions.BackendStatus(r.Context())
	body := backendBody{
		Status: statusReady, Name: status.Name, Version: status.Version, Format: status.Format,
		Services: status.Services, Shared: status.Shared,
		Limits:   status.Limits,
		Sessions: known(status.Sessions), PendingNotifications: known(status.PendingNotifications),
	}
	if body.Services == nil {
		body.Services = []string{}
	}
	if body.PendingNotifications != nil {
		body.PendingDeliveriesComplete = &status.PendingCounted
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
