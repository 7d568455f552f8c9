package hostadapter_test

// Paging through many rows, and through stores whose pages never end.

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// endless is a backend whose pages never end. If it moves, each page has a new token.
type endless struct {
	sessions.Backend
	moves bool
	calls atomic.Int64
	began atomic.Bool // correct before
}

func (e *endless) Tickets() ticketstore.Store { return &endlessTickets{e.Backend.Tickets(), e} }
func (e *endless) Grants() grantstore.Store   { return &endlessGrants{e.Backend.Grants(), e} }
func (e *endless) Logout() logout.Store       { return &endlessLogout{e.Backend.Logout(), e} }

func (e *endless) place() string {
	n := e.calls.Add(1)
	if !e.moves {
		n = 0
	}
	return fmt.Sprint("place ", n)
}

type endlessTickets struct {
	ticketstore.Store
	e *endless
}

func (t *endlessTickets) Query(
	ctx context.Context, query ticketstore.SessionQuery,
) (*ticketstore.Page, error) {
	if !t.e.began.Load() {
		return t.Store.Query(ctx, query)
	}
	page := &ticketstore.Page{HasNext: true, ResultsToken: t.e.place()}
	for i := range ticketstore.MaxCount {
		s := ticketstore.SessionDetail{}
		s.SessionID, s.SubjectID, s.Expires = fmt.Sprint("sid ", i), "ann", time.Now().AddDate(100, 0, 0)
		page.Sessions = append(page.Sessions, s)
	}
	return page, nil
}

type endlessGrants struct {
	grantstore.Store
	e *endless
}

func (g *endlessGrants) Query(context.Context, grantstore.Query, time.Time) (*grantstore.Page, error) {
	return &grantstore.Page{
		Grants: []grantstore.Grant{{ClientID: "shop"}}, HasNext: true, ResultsToken: g.e.place(),
	}, nil
}

func (g *endlessGrants) Remove(
	context.Context, grantstore.Removal, time.Time,
) (*grantstore.RemovalResult, error) {
	removed := &grantstore.RemovalResult{Met: 1, GrantsRevoked: 1}
	if place := g.e.place(); g.e.moves {
		removed.Next = []byte(place)
	}
	return removed, nil
}

// manyGrants is a store with more grants and notifications than a test can create. Each call matches 13 of
// 10,000 rows: the others are used refresh tokens, which a removal keeps.
type manyGrants struct {
	sessions.Backend
	live  int
	calls atomic.Int64
}

const metAtOnce = 13

func (m *manyGrants) Grants() grantstore.Store { return &manyGrantsStore{m.Backend.Grants(), m} }
func (m *manyGrants) Logout() logout.Store     { return &manyNotifications{m.Backend.Logout(), m} }

// next returns how many rows a call matched, and where the next call continues.
func (m *manyGrants) next() (met int, place string) {
	n := int(m.calls.Add(1))
	if left := m.live - (n-1)*metAtOnce; left <= metAtOnce {
		return max(left, 0), ""
	}
	return metAtOnce, fmt.Sprint("place ", n)
}

type manyGrantsStore struct {
	grantstore.Store
	m *manyGrants
}

func (g *manyGrantsStore) Remove(
	context.Context, grantstore.Removal, time.Time,
) (*grantstore.RemovalResult, error) {
	met, place := g.m.next()
	return &grantstore.RemovalResult{Met: met, GrantsRevoked: met, Next: []byte(place)}, nil
}

type manyNotifications struct {
	logout.Store
	m *manyGrants
}

func (l *manyNotifications) Retry(context.Context, logout.Retry, time.Time) (*logout.RetryResult, error) {
	met, place := l.m.next()
	return &logout.RetryResult{Count: met, Next: place}, nil
}

// TestWalksOverManyRowsEnd: one call can remove 3,000,000 grants, or retry as many notifications.
func TestWalksOverManyRowsEnd(t *testing.T) {
	t.Parallel()
	const many = 3_000_000
	m := &manyGrants{live: many}
	h := newHost(t, func(c *hostadapter.Config) {
		m.Backend = c.Backend
		c.Backend = m
	})
	removed, err := h.Operations().RemoveGrants(t.Context(),
		hostadapter.GrantRemoval{Filter: grantstore.Filter{ClientID: "shop"}})
	if err != nil || removed.GrantsRevoked != many {
		t.Errorf("RemoveGrants: %+v, %v; want %d removed", removed, err, many)
	}
	m.calls.Store(0)
	retried, err := h.Operations().RetryNotifications(t.Context(),
		logout.NotificationFilter{ClientID: "shop"})
	if err != nil || retried != many {
		t.Errorf("RetryDeliveries: %d, %v; want %d", retried, err, many)
	}
}

type endlessLogout struct {
	logout.Store
	e *endless
}

func (l *endlessLogout) End(_ context.Context, e *logout.Ending, _ time.Time) (*logout.Result, error) {
	if e.All {
		return &logout.Result{MissingClients: []string{"shop"}}, nil
	}
	return &logout.Result{SessionsRemoved: 1}, nil
}

func (l *endlessLogout) Notifications(
	context.Context, logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	return &logout.NotificationPage{HasNext: true, ResultsToken: l.e.place()}, nil
}

func (l *endlessLogout) Retry(context.Context, logout.Retry, time.Time) (*logout.RetryResult, error) {
	return &logout.RetryResult{Count: 1, Next: l.e.place()}, nil
}

func (l *endlessLogout) EndDue(context.Context, logout.Sweep, time.Time) (*logout.SweepResult, error) {
	l.e.calls.Add(1)
	return &logout.SweepResult{PurgeLeft: true}, nil
}

func endlessHost(t *testing.T, moves bool, change ...func(*hostadapter.Config)) (*host, *endless) {
	t.Helper()
	e := &endless{moves: moves}
	h := newHost(t, append(change, func(c *hostadapter.Config) {
		e.Backend = c.Backend
		c.Backend = e
	})...)
	e.began.Store(true)
	return h, e
}

func TestWalksOverAnEndlessStoreEnd(t *testing.T) {
	t.Parallel()
	for _, moves := range []bool{false, true} {
		h, _ := endlessHost(t, moves)
		// The walk unseals the consent, so it must be valid.
		if err := h.Consents().Remember(t.Context(), "ann", "shop", []string{"photos"}, 0); err != nil {
			t.Fatal(err)
		}
		for name, walk := range map[string]func(ctx context.Context) error{
			"consents": func(ctx context.Context) error {
				_, err := h.Consents().List(ctx, "ann")
				return err
			},
			"removal of grants": func(ctx context.Context) error {
				_, err := h.Operations().RemoveGrants(ctx,
					hostadapter.GrantRemoval{Filter: grantstore.Filter{SubjectID: "ann"}})
				return err
			},
			"retries of notifications": func(ctx context.Context) error {
				_, err := h.Operations().RetryNotifications(ctx, logout.NotificationFilter{ClientID: "shop"})
				return err
			},
			"all sessions": func(ctx context.Context) error {
				_, err := h.RemoveSessions(ctx, hostadapter.SessionRemoval{All: true})
				return err
			},
			"deletion of a user": func(ctx context.Context) error {
				_, err := h.DeleteUser(ctx, "ann")
				return err
			},
			"other sessions": func(ctx context.Context) error {
				_, err := h.EndOtherSessions(ctx, &hostadapter.Session{SessionID: "mine", SubjectID: "ann"})
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if err := walk(ctx); err == nil || ctx.Err() != nil ||
				!strings.Contains(err.Error(), "lead nowhere") {
				t.Errorf("%s, moving %v: %v; want an error that reports an endless walk", name, moves, err)
			}
			cancel()
		}
	}
}

func TestSweepOfAnEndlessStoreIsPaced(t *testing.T) {
	t.Parallel()
	h, e := endlessHost(t, true, func(c *hostadapter.Config) { c.Expiry.Off = false })
	testenv.Eventually(t, "the store is called less often", func() bool {
		return strings.Contains(h.log.String(), "asked less often")
	})
	// The next two rounds make twenty calls each, with a pause between them.
	before, began := e.calls.Load(), time.Now()
	testenv.Eventually(t, "the sweep continues", func() bool { return e.calls.Load() > before+60 })
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("three rounds took %s, want a pause between them", took)
	}
}
