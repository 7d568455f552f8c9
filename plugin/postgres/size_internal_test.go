package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The disk usage of a session with two clients, and of a used token, each with its indexes.
func TestSizes(t *testing.T) {
	t.Parallel()
	dsn, schema := pgserver.Start(t).Schema(t) // other transactions would keep dead rows
	e := openHost(t, Settings{DSN: dsn, Schema: schema})
	const sessions, uses = 512, 8
	kept := []string{"sessions", "client_uses", "grants"}
	ring := []string{"used_0", "used_1", "used_2", "used_3", "used_4"}
	keptEmpty, ringEmpty := sizeOf(t, e, kept...), sizeOf(t, e, ring...)
	grant := func(i, n int, kind grantstore.Type) grantstore.Grant {
		return grantstore.Grant{
			Ref:       grantstore.Ref{Type: kind, Key: ticketstore.KeyOf(fmt.Sprint(i, " ", n, kind))},
			RequestID: fmt.Sprintf("8d7f1f0e-7a3b-4c1d-9e2f-%012d", i),
			SubjectID: fmt.Sprintf("user-%08d", i/2), ClientID: fmt.Sprint("client-", n%2),
			SessionID: fmt.Sprintf("ZK3J8Q1XW5SYB7NCTD%08d", i), Created: base,
			Expires: base.Add(30 * 24 * time.Hour), Data: make([]byte, 850),
		}
	}
	stored := func(i, n int) []grantstore.Grant {
		return []grantstore.Grant{grant(i, n, grantstore.RefreshToken)}
	}
	each := func(n int, f func(i int) error) {
		t.Helper()
		for _, err := range world.Race(64, func(worker int) error {
			for i := worker; i < n; i += 64 {
				if err := f(i); err != nil {
					return err
				}
			}
			return nil
		}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	each(sessions, func(i int) error {
		g := grant(i, 0, grantstore.RefreshToken)
		err := e.Tickets().Create(t.Context(), &ticketstore.Session{
			Key: ticketstore.KeyOf(g.SessionID), SessionID: g.SessionID, SubjectID: g.SubjectID,
			DisplayName: "Ann Example", Issuer: "https://op.example", AuthTime: base, Created: base,
			Renewed: base, Expires: base.Add(time.Hour), RemoteAddr: "192.0.2.1:4711",
			UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
			Ticket:    make([]byte, 300),
		})
		for n := 0; err == nil && n < 2; n++ {
			_, err = e.Grants().Apply(t.Context(), &grantstore.Batch{
				OperationID: fmt.Sprint("store ", i, " ", n), Store: stored(i, n), Use: &grantstore.Use{
					SessionID: g.SessionID, ClientID: fmt.Sprint("client-", n), Notify: true,
				},
			}, base)
		}
		return err
	})
	if size := (sizeOf(t, e, kept...) - keptEmpty) / sessions; size > 5000 {
		t.Errorf("a session with two clients and two grants takes %d bytes, want 5,000 at most", size)
	} else {
		t.Logf("a session with two clients and two grants takes %d bytes", size)
	}
	each(sessions, func(i int) error {
		for n := range uses {
			_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{
				OperationID: fmt.Sprint("use ", i, " ", n), Store: stored(i, n+2),
				Consume: &grantstore.Consumption{Ref: grant(i, n, grantstore.RefreshToken).Ref},
			}, base)
			if err != nil {
				return err
			}
		}
		return nil
	})
	used := (sizeOf(t, e, ring...) - ringEmpty) / sessions / uses
	if used > 250 {
		t.Errorf("a used token takes %d bytes, want 250 at most", used)
	} else {
		t.Logf("a used token takes %d bytes", used)
	}
}

// sizeOf returns the size of tables with their indexes, without dead rows.
func sizeOf(t *testing.T, e *Engine, tables ...string) (total int) {
	t.Helper()
	for _, table := range tables {
		if _, err := e.pool.Exec(t.Context(), e.sql("VACUUM FULL {s}."+table)); err != nil {
			t.Fatal(err)
		}
		var size int
		err := e.pool.QueryRow(t.Context(), "SELECT pg_total_relation_size($1::text::regclass)",
			e.sql("{s}."+table)).Scan(&size)
		if err != nil {
			t.Fatal(err)
		}
		total += size
	}
	return total
}
