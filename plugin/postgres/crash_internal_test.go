package postgres

// Servers that crash, hang and come back under load.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var base = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

// tokenFamily is a token family with the number of its exchanges.
type tokenFamily struct {
	name      string
	exchanged int
	// open is the operation with an unknown outcome.
	open *grantstore.Batch
}

func (l *tokenFamily) token(n int) grantstore.Grant {
	return grantstore.Grant{
		Ref: grantstore.Ref{
			Type: grantstore.RefreshToken,
			Key:  ticketstore.KeyOf(fmt.Sprintf("%s refresh %d", l.name, n)),
		},
		RequestID: "request " + l.name, SubjectID: "ann", SessionID: "session " + l.name, ClientID: "app",
		Created: base, Expires: base.Add(100 * time.Hour), Data: []byte(l.name),
	}
}

func (l *tokenFamily) access(n int) grantstore.Grant {
	g := l.token(n)
	g.Ref = grantstore.Ref{
		Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(fmt.Sprintf("%s access %d", l.name, n)),
	}
	g.Expires = base.Add(time.Hour)
	return g
}

func (l *tokenFamily) signIn(ctx context.Context, e sessions.Backend) error {
	sid := "session " + l.name
	err := e.Tickets().Create(ctx, &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
		AuthTime: base, Created: base, Renewed: base, Expires: base.Add(1000 * time.Hour),
	})
	if err == nil {
		_, err = e.Grants().Apply(ctx, &grantstore.Batch{
			OperationID: l.name + " begin", Store: []grantstore.Grant{l.token(0), l.access(0)},
		}, base)
	}
	return err
}

// exchange consumes the token and stores the next one, or repeats the operation with an unknown outcome.
func (l *tokenFamily) exchange(ctx context.Context, e sessions.Backend) error {
	batch := l.open
	if batch == nil {
		batch = &grantstore.Batch{
			OperationID: fmt.Sprintf("%s exchange %d", l.name, l.exchanged),
			Consume:     &grantstore.Consumption{Ref: l.token(l.exchanged).Ref},
			Store:       []grantstore.Grant{l.token(l.exchanged + 1), l.access(l.exchanged + 1)},
		}
	}
	_, err := e.Grants().Apply(ctx, batch, base)
	switch {
	case err == nil:
		l.exchanged, l.open = l.exchanged+1, nil
	case errors.Is(err, ticketstore.ErrUnavailable):
		l.open = batch
		return nil
	}
	return err
}

// Clients exchange their tokens while the server is killed and restarted. Acknowledged exchanges persist,
// others are done once: a token that was used once is not reported as used before.
func TestServerCrashesUnderLoad(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	e := openHost(t, Settings{DSN: dsn, Schema: schema})
	families := make([]*tokenFamily, 16)
	for i := range families {
		families[i] = &tokenFamily{name: fmt.Sprint("family ", i)}
		if err := families[i].signIn(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	var exchanges atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for _, l := range families {
		group.Go(func() {
			for ctx.Err() == nil {
				// A separate context: operations that have begun are completed.
				if err := l.exchange(t.Context(), e); err != nil {
					t.Errorf("%s, exchange %d: %v", l.name, l.exchanged, err)
					return
				}
				exchanges.Add(1)
			}
		})
	}
	progress := func(what string) {
		t.Helper()
		before := exchanges.Load()
		testenv.Eventually(t, what, func() bool { return exchanges.Load() > before+100 || t.Failed() })
	}
	progress("exchanges before the first crash")
	for range 3 {
		server.Kill()
		server.Begin(t)
		progress("exchanges after a crash")
	}
	server.Pause(t)
	server.Continue()
	progress("exchanges after a pause")
	stop()
	group.Wait()
	for _, l := range families {
		for l.open != nil {
			if err := l.exchange(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		_, err := e.Grants().Get(t.Context(), l.token(l.exchanged).Ref, base)
		if err != nil {
			t.Errorf("%s: the last token after %d exchanges: %v", l.name, l.exchanged, err)
		}
		if l.exchanged > 0 {
			_, err = e.Grants().Get(t.Context(), l.token(l.exchanged-1).Ref, base)
			if !errors.Is(err, grantstore.ErrConsumed) {
				t.Errorf("%s: the token before the last: %v, want it used", l.name, err)
			}
		}
	}
	t.Logf("%d exchanges", exchanges.Load())
}

// lostAnswer is a connection that, when armed, breaks once instead of returning the answer to a commit.
type lostAnswer struct {
	net.Conn
	armed *atomic.Int64
}

func (c *lostAnswer) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.Contains(p[:n], []byte("COMMIT\x00")) && c.armed.Add(-1) >= 0 {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

// A renewal has no operation id: the committer's slot shows whether it was committed. A retry would conflict
// with its own change.
func TestAnswerToACommitIsLost(t *testing.T) {
	t.Parallel()
	settings := emptyStore(t)
	mustOpen(t, settings) // creates the tables
	config, err := settings.config()
	if err != nil {
		t.Fatal(err)
	}
	var armed atomic.Int64
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &lostAnswer{conn, &armed}, err
	}
	e := serve(t, config, settings)
	l := &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for version := range uint64(3) {
		armed.Store(1)
		renewed, err := e.Tickets().Renew(t.Context(), ticketstore.Renewal{
			Key: ticketstore.KeyOf("session l"), Version: version + 1,
			Expires: base.Add(time.Duration(2000+version) * time.Hour),
		}, base.Add(time.Hour))
		if err != nil || renewed.Version != version+2 {
			t.Fatalf("renewal %d: got %+v, error %v, want that of the one commit", version, renewed, err)
		}
		if armed.Load() > 0 {
			t.Fatal("no answer was lost")
		}
	}
}
