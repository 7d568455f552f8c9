package postgres

// What the engine measures: spans of calls that are traced, and figures of its transactions and connections.

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// system is the engine as semantic conventions for databases call it.
const system = "postgresql"

// sizeEvery is how often the tables are measured, at most: that looks at each of their files.
const sizeEvery = time.Minute

var _ sessions.Measured = (*Engine)(nil)

// meter counts what an engine does. Its lock is held for no statement.
type meter struct {
	mu      sync.Mutex
	figures sessions.Figures
	bytes   int64     // of the schema, -1 before they are known
	sized   time.Time // when that was measured, or somebody began to
}

// moments are those of a transaction: when it began, when its rows had been read and judged, and when what
// changed was durable.
type moments struct{ began, judged, durable time.Time }

// committed notes a transaction for the calls that it has answered. One that changed nothing is a read.
func (m *meter) committed(calls []*call, at moments, wrote bool) {
	if wrote {
		m.mu.Lock()
		m.figures.NoteCommit(len(calls), at.durable.Sub(at.judged))
		m.mu.Unlock()
	}
	for _, c := range calls {
		if c.spans == nil {
			continue
		}
		sized := about("commit", len(calls))
		c.spans.Add(spans.Span{Name: "commit wait", Start: c.asked, End: at.began, Attributes: sized[:2]})
		c.spans.Add(spans.Span{Name: "commit read", Start: at.began, End: at.judged, Attributes: sized})
		if wrote {
			c.spans.Add(spans.Span{
				Name: "commit write", Start: at.judged, End: at.durable, Attributes: sized,
			})
		}
	}
}

// hasRead notes a snapshot for the calls that it has answered, if it was slow.
func hasRead(calls []*call, began time.Time) {
	for _, c := range calls {
		if c.spans != nil {
			c.spans.AddRead(spans.Span{
				Name: "read", Start: began, End: time.Now(), Attributes: about("read", len(calls)),
			})
		}
	}
}

// about are the attributes of a span: the first two are the same for all of an operation.
func about(operation string, size int) []spans.Attribute {
	return []spans.Attribute{
		{Key: spans.System, Value: system}, {Key: spans.Operation, Value: operation},
		{Key: spans.BatchSize, Value: strconv.Itoa(size)},
	}
}

// traced notes who wants the spans of a call, and since when it waits.
func (c *call) traced() {
	if c.spans = spans.FromContext(c.ctx); c.spans != nil && c.asked.IsZero() {
		c.asked = time.Now()
	}
}

// Figures implements sessions.Measured. What the tables take is up to a minute old, or -1 where the database
// does not say it.
func (e *Engine) Figures(ctx context.Context) (sessions.Figures, error) {
	if e.closed.Load() {
		return sessions.Figures{}, errClosed
	}
	used := e.size(ctx)
	e.meter.mu.Lock()
	figures := e.meter.figures
	e.meter.mu.Unlock()
	figures.DiskUsed, figures.DiskFree = used, -1
	stat := e.pool.Stat()
	figures.ConnectionWaits = uint64(stat.EmptyAcquireCount())
	figures.ConnectionWaitTime = stat.EmptyAcquireWaitTime()
	if trips, ok := e.pool.Config().ConnConfig.Tracer.(*roundTrips); ok {
		figures.RoundTrips = trips.Load()
	}
	return figures, nil
}

// size returns the bytes of the schema. One caller measures them, and the others have what was known before.
func (e *Engine) size(ctx context.Context) int64 {
	m := &e.meter
	m.mu.Lock()
	known, due := m.bytes, m.sized.IsZero() || time.Since(m.sized) >= sizeEvery
	if m.sized.IsZero() {
		known, m.bytes = -1, -1
	}
	if due {
		m.sized = time.Now()
	}
	m.mu.Unlock()
	if !due {
		return known
	}
	const sum = "SELECT coalesce(sum(bytes), 0)::bigint FROM (" + askBytes + ") AS t(name, bytes)"
	err := e.pool.QueryRow(ctx, sum, strings.Trim(e.schema, `"`)).Scan(&known)
	if err != nil {
		return -1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bytes = known
	return known
}

// roundTrips counts how often the database was asked: pipelines, single statements, preparations.
type roundTrips struct{ atomic.Uint64 }

var (
	_ pgx.QueryTracer   = (*roundTrips)(nil)
	_ pgx.BatchTracer   = (*roundTrips)(nil)
	_ pgx.PrepareTracer = (*roundTrips)(nil)
)

// TraceQueryStart implements pgx.QueryTracer.
func (r *roundTrips) TraceQueryStart(
	ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData,
) context.Context {
	r.Add(1)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*roundTrips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (r *roundTrips) TraceBatchStart(
	ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData,
) context.Context {
	r.Add(1)
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (*roundTrips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (*roundTrips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TracePrepareStart implements pgx.PrepareTracer.
func (r *roundTrips) TracePrepareStart(
	ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData,
) context.Context {
	r.Add(1)
	return ctx
}

// TracePrepareEnd implements pgx.PrepareTracer.
func (*roundTrips) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) {}
