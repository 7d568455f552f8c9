package postgres

// Measurements of the engine, and spans of traced calls.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/spans"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func measuredSession(sid string, now time.Time) *ticketstore.Session {
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "42", Issuer: "https://op.example",
		AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour), Version: 1,
	}
}

// slowly makes a read that waits for a lock so long that it gets a span.
func slowly(t *testing.T, e *Engine, read func() error) error {
	t.Helper()
	conn, err := e.pool.Acquire(t.Context())
	if err != nil {
		return err
	}
	defer conn.Release()
	for _, statement := range []string{"BEGIN", "LOCK TABLE {s}.sessions"} {
		if _, err := conn.Exec(t.Context(), e.sql(statement)); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() { done <- read() }()
	var seen time.Time
	testenv.Eventually(t, "the read waits for the lock", func() bool {
		var waits bool
		err := conn.QueryRow(t.Context(), e.sql(`SELECT EXISTS (SELECT 1 FROM pg_locks
			WHERE NOT granted AND relation = '{s}.sessions'::regclass)`)).Scan(&waits)
		if err == nil && waits && seen.IsZero() {
			seen = time.Now()
		}
		return !seen.IsZero() && time.Since(seen) >= spans.Slow
	})
	_, err = conn.Exec(t.Context(), "ROLLBACK")
	return errors.Join(err, <-done)
}

// The spans of a write are the wait in the queue, the batched read, and the write with the commit, which a
// transaction without changes lacks. A slow read has one span.
func TestSpansOfACall(t *testing.T) {
	t.Parallel()
	e, now := openEngine(t), time.Now()
	traced := func(run func(ctx context.Context) error) (names []string) {
		t.Helper()
		kept := &spans.Recorder{}
		if err := run(spans.NewContext(t.Context(), kept)); err != nil {
			t.Error(err)
		}
		last := time.Time{}
		for _, s := range kept.Spans() {
			names = append(names, s.Name)
			if s.Start.Before(last) || s.End.Before(s.Start) {
				t.Errorf("%q lasts from %s to %s, the previous span to %s", s.Name, s.Start, s.End, last)
			}
			last = s.End
			want := []spans.Attribute{{Key: spans.System, Value: "postgresql"}}
			if len(s.Attributes) < 2 || !slices.Equal(s.Attributes[:1], want) {
				t.Errorf("%q has attributes %v, want the system and an operation", s.Name, s.Attributes)
			}
			if size := s.Attributes[len(s.Attributes)-1]; s.Name != "commit wait" &&
				size != (spans.Attribute{Key: spans.BatchSize, Value: "1"}) {
				t.Errorf("%q has the size %v, want 1", s.Name, size)
			}
		}
		return names
	}
	key := ticketstore.KeyOf("s")
	// A short read gets no span. Repeated because a read is slow on a busy machine.
	testenv.Eventually(t, "a read without a span", func() bool {
		return len(traced(func(ctx context.Context) error {
			if _, err := e.Tickets().Get(ctx, key); !errors.Is(err, ticketstore.ErrNotFound) {
				return fmt.Errorf("got %w, want ErrNotFound", err)
			}
			return nil
		})) == 0
	})
	for _, c := range []struct {
		what string
		run  func(ctx context.Context) error
		want []string
	}{
		{"create", func(ctx context.Context) error {
			return e.Tickets().Create(ctx, measuredSession("s", now))
		}, []string{"commit wait", "commit read", "commit write"}},
		{"get", func(ctx context.Context) error {
			return slowly(t, e, func() error { _, err := e.Tickets().Get(ctx, key); return err })
		}, []string{"read"}},
		{"renew nothing", func(ctx context.Context) error {
			_, err := e.Tickets().Renew(ctx, ticketstore.Renewal{
				Key: ticketstore.KeyOf("none"), Version: 1, Expires: now.Add(time.Hour),
			}, now)
			if errors.Is(err, ticketstore.ErrNotFound) {
				return nil
			}
			return fmt.Errorf("got %w, want ErrNotFound", err)
		}, []string{"commit wait", "commit read"}},
	} {
		if got := traced(c.run); !slices.Equal(got, c.want) {
			t.Errorf("%s has spans %q, want %q", c.what, got, c.want)
		}
	}
}

// Commits are counted with their changes, connections with the calls that waited for them.
func TestFigures(t *testing.T) {
	t.Parallel()
	dsn, name := pgserver.Shared(t).Schema(t)
	e := openStore(t, Settings{DSN: dsn, Schema: name})
	before, err := e.Figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const calls = 40
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			err := e.Tickets().Create(t.Context(), measuredSession(fmt.Sprint("s", i), time.Now()))
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	after, err := e.Figures(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	commits, changes := after.Commits-before.Commits, after.Changes-before.Changes
	if commits == 0 || commits > changes || changes < calls {
		t.Errorf("%d commits of %d changes, want at least %d changes and no more commits",
			commits, changes, calls)
	}
	var byTime, byChanges uint64
	for _, n := range after.CommitBuckets {
		byTime += n
	}
	for _, n := range after.GroupBuckets {
		byChanges += n
	}
	if byTime > after.Commits || byChanges != after.Commits || after.CommitTime <= before.CommitTime {
		t.Errorf("%d commits by duration and %d by changes, want %d; %s after %s", byTime,
			byChanges, after.Commits, after.CommitTime, before.CommitTime)
	}
	if trips := after.RoundTrips - before.RoundTrips; trips < 2*commits {
		t.Errorf("%d round trips for %d commits, want two or more each", trips, commits)
	}
	if after.DiskUsed <= 0 || after.DiskUsed != before.DiskUsed || after.DiskFree != -1 {
		t.Errorf("%d bytes in use and %d free, want the %d of less than a minute ago, and -1", after.DiskUsed,
			after.DiskFree, before.DiskUsed)
	}
}
