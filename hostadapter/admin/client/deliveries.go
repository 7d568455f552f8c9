package client

// Notifications of clients by back-channel logout.

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Delivery is a notification of a client.
type Delivery struct {
	ID string `json:"id"`
	// State is pending, delivered, refused or given_up.
	State     string    `json:"state"`
	ClientID  string    `json:"client_id"`
	SubjectID string    `json:"subject_id,omitempty"`
	SessionID string    `json:"session_id"`
	Issuer    string    `json:"issuer"`
	Reason    string    `json:"reason"`
	Attempts  int       `json:"attempts"`
	Queued    time.Time `json:"queued"`
	// NextAttempt and GiveUpAt are zero unless the delivery is pending.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	GiveUpAt    time.Time `json:"give_up_at,omitzero"`
	LastAttempt time.Time `json:"last_attempt,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
}

// DeliveryFilter selects notifications. Its conditions are ANDed; a zero field is no condition.
type DeliveryFilter struct {
	State     string `json:"state,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	SessionID string `json:"session_id,omitempty"`
}

// DeliveryQuery selects and pages notifications.
type DeliveryQuery struct {
	DeliveryFilter
	Paging
}

func (q DeliveryQuery) values() url.Values {
	values := q.Paging.values()
	set(values, "state", q.State)
	set(values, "client_id", q.ClientID)
	set(values, "session_id", q.SessionID)
	return values
}

// Deliveries returns all matching notifications, starting at the requested page.
func (c *Client) Deliveries(ctx context.Context, query DeliveryQuery) iter.Seq2[Delivery, error] {
	return walk[Delivery](ctx, c, "/logout/deliveries", query.values(), query.Paging)
}

// DeliveryPage returns one page of notifications.
func (c *Client) DeliveryPage(ctx context.Context, query DeliveryQuery) (*Page[Delivery], error) {
	return get[Page[Delivery]](ctx, c, "/logout/deliveries", query.values())
}

// RetryDelivery makes a notification due now. It returns ErrNotFound for an unknown id. A repeated call may
// deliver the notification again; delivery is at least once anyway.
func (c *Client) RetryDelivery(ctx context.Context, id string) (*Delivery, error) {
	return ask[Delivery](ctx, c, call{
		method: http.MethodPost, path: "/logout/deliveries/" + url.PathEscape(id) + "/retry", safe: true,
	})
}

// RetryDeliveries makes the notifications that match a filter due now, and counts them. It returns ErrInvalid
// for a filter without a condition.
func (c *Client) RetryDeliveries(ctx context.Context, filter DeliveryFilter) (queued int, err error) {
	var answer struct {
		NotificationsQueued int `json:"notifications_queued"`
	}
	err = c.do(ctx, call{method: http.MethodPost, path: "/logout/deliveries/retry", body: filter}, &answer)
	return answer.NotificationsQueued, err
}
