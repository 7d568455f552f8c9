package postgres

// The description of the engine, its hosts and their clocks.

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func openStore(t *testing.T, settings Settings) *Engine {
	t.Helper()
	e, err := Open(t.Context(), settings, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func (e *Engine) registered(t *testing.T) (n int) {
	t.Helper()
	if err := e.pool.QueryRow(t.Context(), e.sql("SELECT count(*) FROM {s}.hosts")).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	e := openStore(t, Settings{DSN: dsn, Schema: name})
	d, err := e.Describe(t.Context())
	if err != nil || d.Name != "postgres" || !d.Shared || d.StoreID == "" || d.Trouble != "" ||
		int(d.Format) != schema.Embedded().Newest() {
		t.Errorf("%+v, %v", d, err)
	}
	if err := errors.Join(e.Close(), e.Close()); err != nil {
		t.Error(err)
	}
	if _, err := e.Describe(t.Context()); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("Describe after Close: %v", err)
	}
	if _, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf("x")); !errors.Is(
		err,
		ticketstore.ErrUnavailable,
	) {
		t.Errorf("a read after Close: %v", err)
	}
}

// A host whose clock deviates serves nothing until the clock is correct again.
func TestClockDeviation(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	var off atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	e := openStore(t, Settings{DSN: dsn, Schema: name, now: now})
	l := &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	beat := func(by time.Duration) {
		t.Helper()
		off.Store(int64(by))
		e.host.note(t.Context(), e.host.beat(t.Context()))
	}
	read := func() error {
		_, err := e.Grants().Get(t.Context(), l.token(0).Ref, base)
		return err
	}
	beat(-3 * time.Second)
	for what, err := range map[string]error{
		"read": read(), "exchange": l.signIn(t.Context(), e),
	} {
		if !errors.Is(err, errClock) || !errors.Is(err, ticketstore.ErrUnavailable) {
			t.Errorf("%s with a clock that is 3 s off: %v", what, err)
		}
	}
	beat(time.Second)
	if err := read(); err != nil {
		t.Errorf("read with a clock that is 1 s off: %v", err)
	}
}

// A host is registered while it has the store open, sends beats, and registers again if its row was deleted.
func TestHostsAreRegistered(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	settings := Settings{DSN: dsn, Schema: name}
	first, second := openStore(t, settings), openStore(t, settings)
	if n := first.registered(t); n != 2 {
		t.Errorf("%d hosts, want 2", n)
	}
	described, err := first.Describe(t.Context())
	if err != nil || len(described.Hosts) != 2 || described.Hosts[1].Version != version() ||
		time.Since(described.Hosts[1].Beat).Abs() > time.Minute ||
		!described.Hosts[1].Joined.After(described.Hosts[0].Joined) {
		t.Errorf("described hosts %+v, error %v, want two", described.Hosts, err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if n := first.registered(t); n != 1 {
		t.Errorf("%d hosts after one has left, want 1", n)
	}
	if _, err := first.pool.Exec(t.Context(), first.sql("DELETE FROM {s}.hosts")); err != nil {
		t.Fatal(err)
	}
	if err := first.host.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := first.registered(t); n != 1 {
		t.Errorf("%d hosts after a beat, want 1", n)
	}
}

// A host without a row, whose program the store does not support any more, reports trouble.
func TestHostIsRefusedAfterContract(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	e := openStore(t, Settings{DSN: dsn, Schema: name})
	for _, s := range []string{"DELETE FROM {s}.hosts", "UPDATE {s}.ledger SET needs = 99"} {
		if _, err := e.pool.Exec(t.Context(), e.sql(s)); err != nil {
			t.Fatal(err)
		}
	}
	testenv.Eventually(t, "Describe reports trouble", func() bool {
		d, err := e.Describe(t.Context())
		return err == nil && d.Trouble != ""
	})
}

func TestClockDeviationIsReported(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	off := time.Duration(0)
	settings := Settings{DSN: dsn, Schema: name, now: func() time.Time { return time.Now().Add(off) }}
	o := mustOpen(t, settings)
	h, err := join(t.Context(), o, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer h.leave()
	for _, off = range []time.Duration{0, time.Second, -time.Second} {
		if err := h.beat(t.Context()); err != nil {
			t.Errorf("off by %v: %v", off, err)
		}
	}
	off = 3 * time.Second
	h.note(t.Context(), h.beat(t.Context()))
	if h.trouble() == "" {
		t.Error("no trouble with a clock that is 3 s off")
	}
	off = 0
	h.note(t.Context(), h.beat(t.Context()))
	if trouble := h.trouble(); trouble != "" {
		t.Errorf("trouble after the clock was corrected: %s", trouble)
	}
}
