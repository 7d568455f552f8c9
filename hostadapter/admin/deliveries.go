package admin

// GET /logout/deliveries and the retries.

import (
	"log/slog"
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/logout"
)

// deliveryOf is a notification in JSON.
func deliveryOf(n *logout.Notification) client.Delivery {
	body := client.Delivery{
		ID: n.ID, State: string(n.State), ClientID: n.ClientID, SubjectID: n.SubjectID,
		SessionID: n.SessionID, Issuer: n.Issuer, Reason: string(n.Reason),
		Attempts: n.Attempts, Queued: n.Queued.UTC(), LastError: n.LastError,
	}
	if n.State == logout.Pending {
		body.NextAttempt, body.GiveUpAt = n.NextAttempt.UTC(), n.GiveUpAt.UTC()
	}
	if !n.LastAttempt.IsZero() {
		body.LastAttempt = n.LastAttempt.UTC()
	}
	return body
}

func (m *mount) queryDeliveries(w http.ResponseWriter, r *http.Request, _ *audit) error {
	p := readParameters(r, append([]string{"state", "client_id", "session_id"}, pageParameters...)...)
	query := logout.NotificationQuery{
		Filter: logout.NotificationFilter{
			State: logout.State(p.text("state")), ClientID: p.text("client_id"),
			SessionID: p.text("session_id"),
		},
		Order: p.order(), Count: p.count(), ResultsToken: p.text("results_token"),
		Prior: p.boolean("request_prior_results"),
	}
	if p.err != nil {
		return p.err
	}
	page, err := m.sessions.QueryNotifications(r.Context(), query)
	if err != nil {
		return err
	}
	writeList(w, p, pageOf(page.Notifications, deliveryOf, page.ResultsToken, page.HasPrev, page.HasNext))
	return nil
}

func (m *mount) retryDelivery(w http.ResponseWriter, r *http.Request, audit *audit) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	id, err := pathValue(r, "id", "/retry")
	if err != nil {
		return err
	}
	audit.add(slog.String("notification_id", id))
	if err := readNoBody(w, r); err != nil {
		return err
	}
	notification, err := m.sessions.RetryNotification(r.Context(), id)
	if err != nil {
		return err
	}
	audit.add(slog.String("client_id", notification.ClientID),
		slog.String("session_id", notification.SessionID))
	writeJSON(w, http.StatusOK, deliveryOf(notification))
	return nil
}

// retriedBody counts the notifications that will be sent again.
type retriedBody struct {
	NotificationsQueued int `json:"notifications_queued"`
}

func (m *mount) retryDeliveries(w http.ResponseWriter, r *http.Request, audit *audit) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	var state, clientID, sessionID id
	err := readBody(w, r, map[string]any{"state": &state, "client_id": &clientID, "session_id": &sessionID})
	if err != nil {
		return err
	}
	audit.add(slog.String("state", string(state)), slog.String("client_id", string(clientID)),
		slog.String("session_id", string(sessionID)))
	count, err := m.sessions.RetryNotifications(r.Context(), logout.NotificationFilter{
		State: logout.State(state), ClientID: string(clientID), SessionID: string(sessionID),
	})
	if err != nil {
		return err
	}
	audit.add(slog.Int("notifications_queued", count))
	writeJSON(w, http.StatusOK, retriedBody{NotificationsQueued: count})
	return nil
}
