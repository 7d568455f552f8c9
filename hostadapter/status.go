package hostadapter

// How the backend is, for operators.

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

// BackendStatus is what an operator sees of the backend.
type BackendStatus struct {
	// Description is what the backend says of itself or, while it cannot be reached, what it said last.
	ticketstore.Description
	// Limits say what does not work with this backend, in words.
	Limits []string
	// Err is why the backend is unavailable, nil if it is not.
	Err error
	// Sessions counts the sessions, -1 where that is not known.
	Sessions int
	// PendingNotifications counts notifications that wait to be delivered, -1 where that is not known. There
	// are more if PendingCounted is false: no more than ticketstore.MaxCount are counted.
	PendingNotifications int
	PendingCounted       bool
	// Cache is what the cache of access tokens before the backend has done, nil where there is none.
	Cache *grantstore.CacheFigures
}

// cachedBackend is a backend with a cache before it, as plugin.Client is.
type cachedBackend interface {
	CacheFigures() *grantstore.CacheFigures
}

// late is the error of a backend that was given statusTimeout to answer: one that did not cannot be reached
// (rule 4).
func late(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: no answer within %s", ticketstore.ErrUnavailable, statusTimeout)
	}
	return err
}

// BackendStatus asks the backend how it is. One that cannot be reached, or does not answer within seconds, is
// a status and no error.
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
	status.Err = err
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
