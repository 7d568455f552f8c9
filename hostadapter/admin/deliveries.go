package admin

// GET /logout/deliveries and the retries.

import (
	"context"
	"log/slog"
	"net/http"
	"slices"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/logout"
)

// deliveryOf converts a notification to JSON.
func deliveryOf(n *logout.Notification) client.Delivery {
	body := client.Delivery{
		ID: n.ID, State: string(n.State), ClientID: n.ClientID, SubjectID: n.SubjectID,
		SessionID: n.SessionID, Issuer: n.Issuer, Reason: string(n.Reason),
		Attempts: n.Attempts, Queued: n.Queued.UTC(), LastAttempt: n.LastAttempt.UTC(),
		LastError: n.LastError,
	}
	if n.State == logout.Pending {
		body.NextAttempt, body.GiveUpAt = n.NextAttempt.UTC(), n.GiveUpAt.UTC()
	}
	return body
}

func (m *mount) queryDeliveries(w http.ResponseWriter, r *http.Request, _ *audit) error {
	p := readParameters(r, slices.Concat(deliveryFilters, pageParameters)...)
	query := p.deliveryQuery()
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
	id, err := pathValue(r, "id", "/retry")
	if err != nil {
		return err
	}
	audit.add(slog.String("notification_id", id))
	if err := readNoBody(w, r); err != nil {
		return err
	}
	notification, err := m.retry(r.Context(), audit, id)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, deliveryOf(notification))
	return nil
}

// retry makes a notification due now and records its target in the audit.
func (m *mount) retry(ctx context.Context, audit *audit, id string) (*logout.Notification, error) {
	notification, err := m.sessions.RetryNotification(ctx, id)
	if err != nil {
		return nil, notFound(err, "There is no such notification. Notifications are kept for a week after "+
			"they are settled.")
	}
	audit.add(slog.String("client_id", notification.ClientID),
		slog.String("session_id", notification.SessionID))
	return notification, nil
}

func (m *mount) retryDeliveries(w http.ResponseWriter, r *http.Request, audit *audit) error {
	var filter logout.NotificationFilter
	err := readBody(w, r, map[string]any{
		"state": &filter.State, "client_id": &filter.ClientID, "session_id": &filter.SessionID,
	})
	if err != nil {
		return err
	}
	count, err := m.retryAll(r.Context(), audit, filter)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]int{"notifications_queued": count})
	return nil
}

// retryAll makes the notifications that match a filter due now and records filter and count in the audit.
func (m *mount) retryAll(
	ctx context.Context, audit *audit, filter logout.NotificationFilter,
) (count int, err error) {
	audit.add(slog.String("state", string(filter.State)), slog.String("client_id", filter.ClientID),
		slog.String("session_id", filter.SessionID))
	if count, err = m.sessions.RetryNotifications(ctx, filter); err == nil {
		audit.add(slog.Int("notifications_queued", count))
	}
	return count, err
}
