package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// No host writes to a partition that a host with a skewed clock may empty.
func TestRingOfUsedGrants(t *testing.T) {
	t.Parallel()
	const day = int64(24 * time.Hour)
	now := records.Nanos(base)
	for days := range int64(70) {
		due := now + days*day
		g := &records.Grant{Consumed: now, Used: 1, Expires: due}
		ring := usedRing(g, now)
		for _, off := range []int64{-skew, 0, skew} {
			if emptied := ringOf(bucket(now+off, usedSpan) + 3); ring == emptied {
				t.Errorf("a grant that expires in %d days is in partition %d, which a host with a "+
					"deviation of %v empties", days, ring, time.Duration(off))
			}
		}
		if days <= 30 && ring == outside {
			t.Errorf("a grant that expires in %d days is in partition %d", days, ring)
		}
	}
	for name, g := range map[string]*records.Grant{
		"with a grace":      {Consumed: now, Used: 1 + uint64(time.Minute), Expires: now + day},
		"without expiry":    {Consumed: now, Used: 1},
		"expired long ago":  {Consumed: now, Used: 1, Expires: now - 20*day},
		"of an older store": {Consumed: now, Expires: now + day},
	} {
		if ring := usedRing(g, now); ring != outside {
			t.Errorf("a used grant %s is in partition %d", name, ring)
		}
	}
}

// Two attempts at one operation conflict even if their times are in different partitions and they share no
// other row: one of them gets the answer of the other.
func TestRepeatedOperationAcrossPartitions(t *testing.T) {
	t.Parallel()
	h := openHosts(t, 2)
	edge := base.Truncate(grantstore.OperationRetention)
	times := []time.Time{edge.Add(-20 * time.Second), edge.Add(20 * time.Second)}
	for round := range 50 {
		batch := grantstore.Batch{
			OperationID: fmt.Sprint("operation ", round),
			Delete: []grantstore.Ref{{
				Type: grantstore.JTI, Key: ticketstore.KeyOf("unknown key"),
			}},
		}
		for i, err := range world.Race(2, func(i int) error {
			mine := batch
			_, err := h.engines[i].Grants().Apply(t.Context(), &mine, times[i])
			return err
		}) {
			if err != nil {
				t.Fatalf("attempt %d: %v", i, err)
			}
		}
	}
	var answers int
	e := h.engines[0]
	err := e.pool.QueryRow(t.Context(), e.sql("SELECT count(*) FROM {s}.operations WHERE NOT echo")).
		Scan(&answers)
	if err != nil || answers != 50 {
		t.Errorf("%d answers to 50 operations, error %v", answers, err)
	}
	checkAfterwards(t, e)
}

// Expired partitions are emptied and subtracted from the contents.
func TestPartitionsAreEmptied(t *testing.T) {
	t.Parallel()
	e := openEngine(t)
	l := &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := l.exchange(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	left := func(table string) (n int) {
		t.Helper()
		err := e.pool.QueryRow(t.Context(), e.sql("SELECT count(*) FROM {s}."+table)).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	purge := func(after time.Duration) {
		t.Helper()
		if _, err := e.Grants().Purge(t.Context(), 1000, base.Add(after)); err != nil {
			t.Fatal(err)
		}
		checkAfterwards(t, e)
	}
	// The server hides transactions of other roles from a host, whose role is not a superuser.
	reader := "reader_" + strings.Trim(e.schema, `"`)
	for _, statement := range []string{"CREATE ROLE " + reader, "GRANT USAGE ON SCHEMA {s} TO " + reader} {
		if _, err := e.pool.Exec(t.Context(), e.sql(statement)); err != nil {
			t.Fatal(err)
		}
	}
	inUse := func() bool {
		t.Helper()
		used, err := view(t.Context(), e, base, nil, func(t *tx) (bool, error) {
			t.exec("SET LOCAL ROLE " + reader)
			return (&ring{partition: "operations_0"}).inUse(t, 0), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	purge(0)
	if used, operations := left("used"), left("operations"); used != 5 || operations < 6 {
		t.Fatalf("%d used grants and %d answers, want 5 and 6 or more", used, operations)
	}
	reading, err := e.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = reading.Exec(t.Context(), e.sql("LOCK TABLE {s}.operations IN ACCESS SHARE MODE"))
	if err != nil {
		t.Fatal(err)
	}
	if !inUse() {
		t.Error("a partition is not in use during a read")
	}
	purge(2 * grantstore.OperationRetention) // does not wait for the read of a backup
	if n := left("operations"); n < 6 {
		t.Errorf("%d answers are left while they are read", n)
	}
	if err := reading.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if inUse() {
		t.Error("a partition is in use without a read")
	}
	purge(2 * grantstore.OperationRetention)
	if n := left("operations"); n > 1 { // an echo may be in the previous partition
		t.Errorf("%d answers are left after 20 minutes", n)
	}
	purge(100*time.Hour + time.Duration(usedSpan))
	if n := left("used"); n != 0 {
		t.Errorf("%d used grants are left after their expiry", n)
	}
}

// After a partition is emptied, the echoes of its operations in the next partition are no fault.
func TestEchoesAfterTheirPartitionIsEmptied(t *testing.T) {
	t.Parallel()
	e := openEngine(t)
	span := time.Duration(operationSpan)
	edge := base.Truncate(span).Add(span - time.Second)
	batch := &grantstore.Batch{
		OperationID: "late in its partition",
		Delete:      []grantstore.Ref{{Type: grantstore.JTI, Key: ticketstore.KeyOf("nowhere")}},
	}
	if _, err := e.Grants().Apply(t.Context(), batch, edge); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Grants().Purge(t.Context(), 1000, edge.Add(span+2*time.Second)); err != nil {
		t.Fatal(err)
	}
	var operations, echoes int
	err := e.pool.QueryRow(t.Context(), e.sql(`SELECT count(*) FILTER (WHERE NOT echo),
		count(*) FILTER (WHERE echo) FROM {s}.operations`)).Scan(&operations, &echoes)
	if err != nil || operations != 0 || echoes != 1 {
		t.Fatalf("%d operations and %d echoes are left, error %v, want an echo", operations, echoes, err)
	}
	checkAfterwards(t, e)
}

// A partition is counted in a snapshot, not in a transaction of a committer, for which other calls wait.
func TestPartitionsAreCountedInSnapshots(t *testing.T) {
	t.Parallel()
	settings := emptyStore(t)
	config := mustOpen(t, settings).pool.Config()
	seen := &countsSeen{begun: map[*pgx.Conn]string{}}
	config.ConnConfig.Tracer = seen
	e := serve(t, config, settings)
	l := &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Grants().Purge(t.Context(), 1000, base.Add(2*grantstore.OperationRetention)); err != nil {
		t.Fatal(err)
	}
	checkAfterwards(t, e)
	seen.Lock()
	defer seen.Unlock()
	if want := []string{beginSnapshot}; !slices.Equal(seen.counts, want) {
		t.Errorf("partitions were counted in transactions %q, want %q", seen.counts, want)
	}
}

// countsSeen records the statements that began transactions in which a partition was counted.
type countsSeen struct {
	sync.Mutex
	begun  map[*pgx.Conn]string
	counts []string
}

func (c *countsSeen) sees(conn *pgx.Conn, sql string) {
	c.Lock()
	defer c.Unlock()
	if strings.HasPrefix(sql, "BEGIN") {
		c.begun[conn] = sql
	}
	if strings.Contains(sql, "sum(sum)") {
		c.counts = append(c.counts, c.begun[conn])
	}
}

func (c *countsSeen) TraceQueryStart(
	ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData,
) context.Context {
	c.sees(conn, data.SQL)
	return ctx
}

func (c *countsSeen) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *countsSeen) TraceBatchStart(
	ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData,
) context.Context {
	return ctx
}

func (c *countsSeen) TraceBatchQuery(_ context.Context, conn *pgx.Conn, data pgx.TraceBatchQueryData) {
	c.sees(conn, data.SQL)
}

func (c *countsSeen) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// Between its count and its emptying a partition does not change, except that another host may empty it.
func TestCountedPartitionDoesNotChange(t *testing.T) {
	t.Parallel()
	h := openHosts(t, 2)
	e := h.engines[0]
	l := &tokenFamily{name: "l"}
	if err := errors.Join(l.signIn(t.Context(), e), l.exchange(t.Context(), e)); err != nil {
		t.Fatal(err)
	}
	now := base.Add(100*time.Hour + time.Duration(usedSpan))
	var used *ring
	for _, r := range ringsOver(records.Nanos(now)) {
		if r.kind == transfer.Grants {
			used = r
		}
	}
	full, err := view(t.Context(), e, now, nil, used.count)
	if err != nil || !full || used.content.Count != 1 {
		t.Fatalf("counted %+v, full %t, error %v; want one grant", used.content, full, err)
	}
	_, err = e.Grants().Apply(t.Context(), &grantstore.Batch{
		OperationID: "delete expired", Delete: []grantstore.Ref{l.token(0).Ref},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	empty := func(r *ring) int64 {
		t.Helper()
		c := &call{ctx: t.Context(), now: now, plan: *planOf("purge"), admits: rules.Writes, run: r.empty}
		if err := e.submit(c); err != nil {
			t.Fatal(err)
		}
		return r.emptied
	}
	other := *used
	late := *used
	late.read -= usedSpan // counted one span earlier
	if n := empty(&late); n != 0 {
		t.Errorf("a partition counted one span earlier: emptied of %d rows, want 0", n)
	}
	if n := empty(used); n != 1 {
		t.Errorf("emptied of %d rows, want 1", n)
	}
	checkAfterwards(t, e)
	if n := empty(&other); n != 0 {
		t.Errorf("a partition emptied by another host: emptied of %d rows, want 0", n)
	}
	checkAfterwards(t, e)
}

// A host whose clock is set wrong between two beats empties no partition in use (rule 14).
func TestWrongClockEmptiesNoPartition(t *testing.T) {
	t.Parallel()
	settings := emptyStore(t)
	var ahead atomic.Int64
	settings.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	e := openHost(t, settings)
	l := &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	e.host.beating.Lock() // the next beat would detect the clock
	ahead.Store(int64(time.Hour))
	_, err := e.Grants().Purge(t.Context(), 1000, base.Add(2*grantstore.OperationRetention))
	ahead.Store(0)
	e.host.beating.Unlock()
	if !errors.Is(err, errClock) {
		t.Errorf("purge with a clock an hour ahead: %v, want it refused", err)
	}
	var operations int
	err = e.pool.QueryRow(t.Context(), e.sql("SELECT count(*) FROM {s}.operations")).Scan(&operations)
	if err != nil || operations == 0 {
		t.Errorf("%d answers are left, error %v", operations, err)
	}
}
