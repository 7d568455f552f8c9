package postgres

// Several hosts over one store (rule 14).

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/plugin/storetest"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// hosts distributes calls over several engines of one store, round robin.
type hosts struct {
	engines []*Engine
	calls   atomic.Uint64
}

func (h *hosts) next() *Engine { return h.engines[h.calls.Add(1)%uint64(len(h.engines))] }

type (
	ticketsOfHosts    struct{ *hosts }
	grantsOfHosts     struct{ *hosts }
	endingsOfHosts    struct{ *hosts }
	propertiesOfHosts struct{ *hosts }
)

func (h ticketsOfHosts) Create(ctx context.Context, session *ticketstore.Session) error {
	return h.next().Tickets().Create(ctx, session)
}

func (h ticketsOfHosts) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) ([]string, error) {
	return h.next().Tickets().CreateWithin(ctx, session, limit, now)
}

func (h ticketsOfHosts) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	return h.next().Tickets().Get(ctx, key)
}

func (h ticketsOfHosts) Find(ctx context.Context, sid string) (*ticketstore.SessionDetail, error) {
	return h.next().Tickets().Find(ctx, sid)
}

func (h ticketsOfHosts) Renew(
	ctx context.Context, renewal ticketstore.Renewal, now time.Time,
) (*ticketstore.Session, error) {
	return h.next().Tickets().Renew(ctx, renewal, now)
}

func (h ticketsOfHosts) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	return h.next().Tickets().Rekey(ctx, rekey, now)
}

func (h ticketsOfHosts) Query(ctx context.Context, q ticketstore.SessionQuery) (*ticketstore.Page, error) {
	return h.next().Tickets().Query(ctx, q)
}

func (h grantsOfHosts) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	return h.next().Grants().Get(ctx, ref, now)
}

func (h grantsOfHosts) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	return h.next().Grants().Apply(ctx, batch, now)
}

func (h grantsOfHosts) Query(
	ctx context.Context, q grantstore.Query, now time.Time,
) (*grantstore.Page, error) {
	return h.next().Grants().Query(ctx, q, now)
}

func (h grantsOfHosts) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (*grantstore.RemovalResult, error) {
	return h.next().Grants().Remove(ctx, removal, now)
}

func (h grantsOfHosts) Purge(ctx context.Context, limit int, now time.Time) (int, error) {
	return h.next().Grants().Purge(ctx, limit, now)
}

func (h endingsOfHosts) End(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (*logout.Result, error) {
	return h.next().Logout().End(ctx, ending, now)
}

func (h endingsOfHosts) EndDue(
	ctx context.Context, sweep logout.Sweep, now time.Time,
) (*logout.SweepResult, error) {
	return h.next().Logout().EndDue(ctx, sweep, now)
}

func (h endingsOfHosts) Claim(
	ctx context.Context, claim logout.Claim, now time.Time,
) (*logout.ClaimResult, error) {
	return h.next().Logout().Claim(ctx, claim, now)
}

func (h endingsOfHosts) Settle(
	ctx context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	return h.next().Logout().Settle(ctx, id, claim, outcome, now)
}

func (h endingsOfHosts) Notifications(
	ctx context.Context, q logout.NotificationQuery,
) (*logout.NotificationPage, error) {
	return h.next().Logout().Notifications(ctx, q)
}

func (h endingsOfHosts) Retry(
	ctx context.Context, retry logout.Retry, now time.Time,
) (*logout.RetryResult, error) {
	return h.next().Logout().Retry(ctx, retry, now)
}

func (h endingsOfHosts) Job(ctx context.Context, id string) (*logout.Job, error) {
	return h.next().Logout().Job(ctx, id)
}

func (h propertiesOfHosts) Property(ctx context.Context, name string) ([]byte, error) {
	return h.next().Properties().Property(ctx, name)
}

func (h propertiesOfHosts) SetProperty(ctx context.Context, name string, old, value []byte) error {
	return h.next().Properties().SetProperty(ctx, name, old, value)
}

// openHosts opens several engines over one empty store.
func openHosts(t *testing.T, n int) *hosts {
	t.Helper()
	return openHostsOf(t, n, emptyStore(t))
}

func openHostsOf(t *testing.T, n int, settings Settings) *hosts {
	t.Helper()
	h := &hosts{}
	for range n {
		h.engines = append(h.engines, openHost(t, settings))
	}
	return h
}

func (h *hosts) stores() storetest.Stores {
	return storetest.Stores{
		Tickets: ticketsOfHosts{h}, Grants: grantsOfHosts{h}, Logout: endingsOfHosts{h},
		Properties: propertiesOfHosts{h},
	}
}

// The suite with each call at a different host: concurrent sign-ins under a limit, exchanges of one code,
// removals, sweeps and claims.
func TestConformanceOfHosts(t *testing.T) {
	t.Parallel()
	onlyLong(t)
	storetest.Run(t, storetest.Config{
		Immovable: true, Uncached: true,
		New: func(t *testing.T) storetest.Fixture {
			settings, h := emptyStore(t), &hosts{}
			for range 2 {
				h.engines = append(h.engines, lastingHost(t, settings))
			}
			t.Cleanup(func() { checkAfterwards(t, h.engines[0]) })
			return storetest.Fixture{Stores: h.stores()}
		},
	})
}

// Behind a pooler no statement is prepared and no session parameter is set.
func TestConformanceBehindAPooler(t *testing.T) {
	t.Parallel()
	onlyLong(t)
	pooler := pgserver.Shared(t).Pooler(t)
	storetest.Run(t, storetest.Config{
		Immovable: true,
		New: func(t *testing.T) storetest.Fixture {
			settings := emptyStore(t)
			lastingStore(t, settings) // tables are not created through a pooler
			settings.DSN, settings.Pooler = pooler, true
			e := lastingHost(t, settings)
			t.Cleanup(func() { checkAfterwards(t, e) })
			return storetest.Fixture{Stores: storesOf(e)}
		},
	})
}

// Two hosts that change the same sessions lock rows in the same order. A deadlock would delay them by a
// second.
func TestHostsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	dsn, schema := pgserver.Start(t).Schema(t) // no deadlocks of other tests
	h := openHostsOf(t, 2, Settings{DSN: dsn, Schema: schema})
	const sessions, callers, calls = 6, 16, 40
	for i := range sessions {
		l := &tokenFamily{name: fmt.Sprint(i)}
		if err := l.signIn(t.Context(), h.engines[0]); err != nil {
			t.Fatal(err)
		}
	}
	deadlocks := func() (n int) {
		t.Helper()
		err := h.engines[0].pool.QueryRow(t.Context(),
			"SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := deadlocks()
	for _, err := range world.Race(callers, func(caller int) error {
		e := h.engines[caller%2]
		for i := range calls {
			l := &tokenFamily{name: fmt.Sprint((caller*7 + i) % sessions)}
			sid := "session " + l.name
			grant := l.token(1000 + caller*calls + i)
			batch := grantstore.Batch{
				OperationID: fmt.Sprint(caller, " ", i), Store: []grantstore.Grant{grant},
				Use: &grantstore.Use{SessionID: sid, ClientID: fmt.Sprint("client ", i%5)},
			}
			if _, err := e.Grants().Apply(t.Context(), &batch, base); err != nil {
				return err
			}
			use := grantstore.Batch{
				OperationID: fmt.Sprint(caller, " used ", i),
				Consume:     &grantstore.Consumption{Ref: grant.Ref},
			}
			if _, err := e.Grants().Apply(t.Context(), &use, base); err != nil {
				return err
			}
			_, err := e.Logout().End(t.Context(), &logout.Ending{
				OperationID: fmt.Sprint(caller, " end ", i), SessionID: sid, KeepSession: true,
				KeepTokens: true, Reason: logout.Terminated,
			}, base)
			if err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := deadlocks() - before; n > 0 {
		t.Errorf("%d deadlocks", n)
	}
	checkAfterwards(t, h.engines[0])
}

// A fence set during the registration of another host waits for it and is refused.
func TestRegistrationRacesTheFence(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	settings := Settings{DSN: dsn, Schema: name}
	e := openHost(t, settings)
	turn := func(to transfer.State) error {
		return e.Transfer().Become(t.Context(), transfer.Transition{To: to, ID: "move", Peer: "next"})
	}
	if err := turn(transfer.Exporting); err != nil {
		t.Fatal(err)
	}
	// The host has locked the ledger and waits to write its row.
	tx, err := mustOpen(t, settings).pool.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), e.sql("LOCK TABLE {s}.hosts IN SHARE MODE"))
	}
	if err != nil {
		t.Fatal(err)
	}
	// Released also if the test fails: its cleanup waits for the hosts.
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	waiting := func(n int) func() bool {
		return func() bool {
			var found int
			err := tx.QueryRow(t.Context(), `SELECT count(DISTINCT pid) FROM pg_locks
				WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks
					WHERE relation = '`+e.sql("{s}.ledger")+`'::regclass)`).Scan(&found)
			if err != nil {
				t.Fatal(err)
			}
			return found == n
		}
	}
	joined, fenced := make(chan error, 1), make(chan error, 1)
	go func() {
		other, err := Open(t.Context(), settings, quiet)
		if err == nil {
			t.Cleanup(func() { _ = other.Close() })
		}
		joined <- err
	}()
	testenv.Eventually(t, "the host waits", waiting(1))
	go func() { fenced <- turn(transfer.Fenced) }()
	testenv.Eventually(t, "the fence waits", waiting(2))
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The registered host waits for a slot while the fence has all of them.
	if err := <-joined; err != nil {
		t.Error(err)
	}
	if err := <-fenced; !errors.Is(err, transfer.ErrHosts) {
		t.Errorf("the fence: %v, want an error", err)
	}
}

// The fence ignores a host without beats for longer than the bound. When the host resumes, its writes are
// refused.
func TestFenceIgnoresSilentHost(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	settings := Settings{DSN: dsn, Schema: name}
	e, o := openHost(t, settings), mustOpen(t, settings)
	host, err := join(t.Context(), o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	silent := &cachedHost{Engine: startAs(t, o.pool, settings, host, quiet)}
	comesBack := silent.silence(t)
	turn := func(to transfer.State) error {
		return e.Transfer().Become(t.Context(), transfer.Transition{To: to, ID: "move", Peer: "next"})
	}
	age := func(d time.Duration) {
		t.Helper()
		_, err := e.pool.Exec(t.Context(), e.sql("UPDATE {s}.hosts SET beat = "+databaseTime+" - $1::bigint"),
			int64(d))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := turn(transfer.Exporting); !errors.Is(err, transfer.ErrHosts) {
		t.Errorf("with an active host: %v", err)
	}
	age((schema.HostSilence - 5) * time.Second)
	if err := turn(transfer.Exporting); !errors.Is(err, transfer.ErrHosts) {
		t.Errorf("with a host silent for less than the bound: %v", err)
	}
	age((schema.HostSilence + 5) * time.Second)
	for _, to := range []transfer.State{transfer.Exporting, transfer.Fenced} {
		if err := turn(to); err != nil {
			t.Fatalf("%s with a host silent for longer: %v", to, err)
		}
	}
	comesBack()
	l := &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), silent); !errors.Is(err, transfer.ErrFenced) {
		t.Errorf("a sign-in at the resumed host: %v", err)
	}
}
