package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The answer to a batch returns the times of its session, so that hosts can cache stored grants. In the
// suite this is optional.
func TestBatchReturnsSessionTimes(t *testing.T) {
	t.Parallel()
	e, l := openEngine(t), &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	result, err := e.Grants().Apply(t.Context(), &grantstore.Batch{
		OperationID: "exchange", Consume: &grantstore.Consumption{Ref: l.token(0).Ref},
		Store: []grantstore.Grant{l.token(1), l.access(1)},
	}, base)
	if err != nil || result.Session == nil {
		t.Errorf("got %+v, %v, want the times of the session", result, err)
	}
}

// Each read takes one round trip: its plan names all rows that it needs.
func TestReadsTakeOneRoundTrip(t *testing.T) {
	t.Parallel()
	e := openEngine(t)
	ctx := t.Context()
	live, ended := &tokenFamily{name: "live"}, &tokenFamily{name: "ended"}
	for _, l := range []*tokenFamily{live, ended} {
		if err := l.signIn(ctx, e); err != nil {
			t.Fatal(err)
		}
		if err := l.exchange(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	code := live.token(100)
	code.Type, code.RequestID = grantstore.AuthorizationCode, "another request"
	pkce := code
	pkce.Type = grantstore.PKCERequest
	loose := live.token(200)
	loose.SessionID, loose.RequestID = "", "a third request"
	batch := grantstore.Batch{OperationID: "codes", Store: []grantstore.Grant{code, pkce, loose}}
	if _, err := e.Grants().Apply(ctx, &batch, base); err != nil {
		t.Fatal(err)
	}
	_, err := e.Logout().End(ctx, &logout.Ending{
		OperationID: "end", SessionID: "session ended", Reason: logout.UserLogout, KeepTokens: true,
	}, base)
	if err != nil {
		t.Fatal(err)
	}
	for name, ref := range map[string]grantstore.Ref{
		"an access token":                live.access(1).Ref,
		"a refresh token":                live.token(1).Ref,
		"a used one":                     live.token(0).Ref,
		"one of an ended session":        ended.token(1).Ref,
		"a used one of an ended session": ended.token(0).Ref,
		"a code":                         code.Ref,
		"one without a session":          loose.Ref,
		"an unknown one":                 live.token(300).Ref,
	} {
		_, err := e.Grants().Get(ctx, ref, base)
		if err != nil && !errors.Is(err, ticketstore.ErrNotFound) && !errors.Is(err, grantstore.ErrConsumed) {
			t.Errorf("%s: %v", name, err)
		}
		if n := e.incomplete.Swap(0); n > 0 {
			t.Errorf("%s takes more than one round trip", name)
		}
	}
	for name, read := range map[string]func() error{
		"a session by cookie": func() error { return getSession(ctx, e, "session live") },
		"an unknown cookie":   func() error { return getSession(ctx, e, "nothing") },
		"a session by sid": func() error {
			_, err := e.Tickets().Find(ctx, "session live")
			return err
		},
		"an ended session": func() error {
			_, err := e.Tickets().Find(ctx, "session ended")
			return err
		},
	} {
		if err := read(); err != nil && !errors.Is(err, ticketstore.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if n := e.incomplete.Swap(0); n > 0 {
			t.Errorf("%s takes more than one round trip", name)
		}
	}
}

func getSession(ctx context.Context, e *Engine, secret string) error {
	_, err := e.Tickets().Get(ctx, ticketstore.KeyOf(secret))
	return err
}

// When the context of a call ends, its change and those queued after it are not aborted.
func TestChangeAfterItsContextEnds(t *testing.T) {
	t.Parallel()
	e := openEngine(t)
	l := &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	// The session's row is locked: the change waits inside the database.
	holder, err := e.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = holder.Exec(t.Context(), e.sql("SELECT 1 FROM {s}.sessions FOR UPDATE"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.exchange(ctx, e); err != nil || l.open == nil {
		t.Fatalf("an exchange whose context ends: %v, want an unknown outcome", err)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.exchange(t.Context(), e); err != nil || l.open != nil {
		t.Fatalf("the repeated exchange: %v", err)
	}
	if _, err := e.Grants().Get(t.Context(), l.token(1).Ref, base); err != nil {
		t.Errorf("the new token: %v", err)
	}
}
