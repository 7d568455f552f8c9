package postgres

// Measurements: spans of traced calls, and figures of transactions and connections.

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

// system is the engine's name in the semantic conventions for databases.
const system = "postgresql"

// sizeEvery is the minimum interval of measuring the tables, which accesses each of their files.
const sizeEvery = time.Minute

var _ sessions.Measured = (*Engine)(nil)

// meter counts the engine's activity. Its lock is never held during a statement.
type meter struct {
	mu      sync.Mutex
	figures sessions.Figures
	bytes   int64     // of the schema, -1 if unknown
	sized   time.Time // when the last measurement began
}

// moments are the times of a transaction: begin, rows read and judged, changes durable.
type moments struct{ began, judged, durable time.Time }

// committed records a transaction for its calls. A transaction without changes is a read.
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

// hasRead records a snapshot for its calls, if it was slow.
func hasRead(calls []*call, began time.Time) {
	for _, c := range calls {
		if c.spans != nil {
			c.spans.AddRead(spans.Span{
				Name: "read", Start: began, End: time.Now(), Attributes: about("read", len(calls)),
			})
		}
	}
}

// about returns the attributes of a span: the first two are constant per operation.
func about(operation string, size int) []spans.Attribute {
	return []spans.Attribute{
		{Key: spans.System, Value: system}, {Key: spans.Operation, Value: operation},
		{Key: spans.BatchSize, Value: strconv.Itoa(size)},
	}
}

// traced sets the recorder of a traced call, and when its wait began.
func (c *call) traced() {
	if c.spans = spans.FromContext(c.ctx); c.spans != nil && c.asked.IsZero() {
		c.asked = time.Now()
	}
}

// Figures implements sessions.Measured. The size of the tables is up to a minute old, or -1 if unknown.
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

// size returns the bytes of the schema. One caller measures them, and concurrent callers get the previous
// value.
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

// roundTrips counts round trips: pipelines, single statements, preparations.
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
