package hostadapter

// The status of the backend, for operators.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// statusTimeout bounds how long BackendStatus waits for a backend that does not answer.
const statusTimeout = 5 * time.Second

// BackendStatus is an operator's view of the backend.
type BackendStatus struct {
	// Description is the backend's own or, while it cannot be reached, its most recent one.
	ticketstore.Description
	// Limits describe what this backend does not support.
	Limits []string
	// Err is why the backend is unavailable, or nil.
	Err error
	// Sessions counts the sessions, or is -1 if unknown.
	Sessions int
	// PendingNotifications counts pending notifications, or is -1 if unknown. If PendingCounted is false
	// there are more: at most ticketstore.MaxCount are counted.
	PendingNotifications int
	PendingCounted       bool
	// Cache holds the metrics of the cache of access tokens in front of the backend, or nil if there is none.
	Cache *grantstore.CacheFigures
	// Swap is the swap that this host makes or follows now, or nil.
	Swap *SwapState
}

// cachedBackend is a backend with a cache in front of it, such as plugin.Client.
type cachedBackend interface {
	CacheFigures() *grantstore.CacheFigures
}

// late turns the expiry of statusTimeout into ticketstore.ErrUnavailable: the backend counts as unreachable
// (rule 4).
func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: no answer within %s", ticketstore.ErrUnavailable, statusTimeout)
	}
	return err
}

// BackendStatus queries the status of the backend. If the backend cannot be reached, or does not answer
// within seconds, the status says so; this is not an error.
func (o *Operations) BackendStatus(ctx context.Context) *BackendStatus {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status := &BackendStatus{Sessions: -1, PendingNotifications: -1}
	err := o.adapter.checkServing(ctx)
	if err == nil {
		err = o.adapter.countForStatus(ctx, status)
	}
	err = late(err)
	if last := o.adapter.description.Load(); last != nil {
		status.Description, status.Limits = *last, limitsOf(last)
	}
	for _, trouble := range []string{o.adapter.missing.trouble(), o.adapter.following()} {
		if status.Trouble != "" && trouble != "" {
			trouble = "; " + trouble
		}
		status.Trouble += trouble
	}
	if cached, ok := o.adapter.backends.serving().(cachedBackend); ok {
		status.Cache = cached.CacheFigures()
	}
	status.Err, status.Swap = err, o.adapter.runningSwap()
	return status
}

func (a *Adapter) countForStatus(ctx context.Context, status *BackendStatus) error {
	page, err := a.config.Backend.Tickets().Query(ctx, ticketstore.SessionQuery{Count: 1})
	if err != nil {
		return fmt.Errorf("counting sessions: %w", err)
	}
	status.Sessions = page.TotalCount
	deliveries, err := a.config.Backend.Logout().Notifications(ctx, logout.NotificationQuery{
		Filter: logout.NotificationFilter{State: logout.Pending}, Count: ticketstore.MaxCount,
	})
	if err != nil {
		return fmt.Errorf("counting deliveries: %w", err)
	}
	status.PendingNotifications, status.PendingCounted = len(deliveries.Notifications), !deliveries.HasNext
	return nil
}
