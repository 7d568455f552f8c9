package postgres

// Rings: partitions by time, which are emptied as a whole.

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

const (
	// partitions is the number of partitions of a ring: a key is looked up in each.
	partitions = 4
	// outside is the partition besides the ring of used grants, whose rows are purged one by one.
	outside = 4
	// operationSpan is the time span of a partition of operations, usedSpan that of used grants: refresh
	// tokens live for 30 days by default.
	operationSpan = int64(grantstore.OperationRetention)
	usedSpan      = int64(15 * 24 * time.Hour)
	// skew is the maximum difference of hosts' clocks, and of the times of two attempts at one operation.
	skew = int64(rules.ClockSkew)
)

// bucket returns the number of the span that contains a time, also before 1970.
func bucket(at, span int64) int64 {
	b := at / span
	if at%span < 0 {
		b--
	}
	return b
}

func ringOf(bucket int64) int16 { return int16(((bucket % partitions) + partitions) % partitions) }

// usedRing returns the partition of a used grant written at a time. The ring reaches two spans ahead, so that
// a host whose clock is behind does not empty a partition to which others write.
func usedRing(g *records.Grant, now int64) int16 {
	due := bucket(rules.GrantDue(g), usedSpan)
	first := bucket(now-skew, usedSpan)
	if g.GetUsed() != 1 || g.GetExpires() == 0 || due < first || due > first+2 {
		return outside
	}
	return ringOf(due)
}

// placed returns rows to insert with their partitions. An operation near a boundary of its span has a second
// row in the adjacent span: two attempts at most skew apart meet in one partition.
func placed(t *table, rows []*row, now int64) (list []*row) {
	for _, r := range rows {
		copied := *r
		switch m := r.now.(type) {
		case *records.Grant:
			if t == usedTable {
				copied.ring = usedRing(m, now)
			}
		case *records.Operation:
			copied.ring = ringOf(bucket(m.GetWhen(), operationSpan))
			for _, near := range []int64{m.GetWhen() - skew, m.GetWhen() + skew} {
				if ring := ringOf(bucket(near, operationSpan)); ring != copied.ring {
					echo := copied
					echo.ring, echo.echo = ring, true
					list = append(list, &echo)
				}
			}
		}
		list = append(list, &copied)
	}
	return list
}

// emptyRings empties expired partitions: of operations those older than a span, of used grants those that
// expired in the previous span. No host writes to either.
func (e *Engine) emptyRings(ctx context.Context, now time.Time) (emptied int, err error) {
	at := records.Nanos(now)
	for _, r := range []ring{
		{
			kind: transfer.Operations, counted: "NOT echo",
			partition: fmt.Sprintf("operations_%d", ringOf(bucket(at, operationSpan)+2)),
		},
		{
			kind: transfer.Grants, counted: "true",
			partition: fmt.Sprintf("used_%d", ringOf(bucket(at, usedSpan)+3)),
		},
	} {
		full, err := view(ctx, e, now, nil, func(t *tx) (bool, error) {
			return t.number("SELECT EXISTS (SELECT FROM {s}."+r.partition+")::int") > 0, nil
		})
		if err == nil && full {
			err = e.submit(&call{
				ctx: ctx, now: now, plan: *planOf("purge"), admits: rules.Writes, run: r.empty, once: true,
			})
		}
		if errors.Is(err, errConflict) {
			continue // an export or a backup reads it: a later purge empties it
		}
		if err != nil {
			return emptied, err
		}
		emptied += int(r.emptied)
	}
	return emptied, nil
}

// briefly limits a transaction's waits for locks, because others would wait behind it.
const briefly = "SET LOCAL lock_timeout = '100ms'"

// ring is a partition to empty. counted selects the rows that are counted as records.
type ring struct {
	kind      transfer.Kind
	partition string
	counted   string
	emptied   int64
}

// empty subtracts the rows from the contents and empties the partition. A store that is being exported would
// have to journal each row, so it keeps them.
func (r *ring) empty(t *tx) error {
	r.emptied = 0
	if t.state != transfer.Active {
		return nil
	}
	t.exec(briefly)
	t.exec("LOCK TABLE {s}." + r.partition + " IN SHARE ROW EXCLUSIVE MODE")
	var count int64
	var text string
	if t.err == nil {
		account := "SELECT count(*), coalesce(sum(sum), 0)::text FROM {s}." + r.partition +
			" WHERE " + r.counted
		t.fail(t.conn.QueryRow(t.ctx, t.sql(account)).Scan(&count, &text))
	}
	t.exec("TRUNCATE {s}." + r.partition)
	t.exec("SET LOCAL lock_timeout = DEFAULT")
	sum, _ := new(big.Int).SetString(text, 10)
	if t.err != nil || sum == nil {
		return nil
	}
	sum.And(sum, new(big.Int).SetUint64(math.MaxUint64)) // two's complement, also of a negative number
	t.slot.counts[r.kind] -= count
	t.slot.sums[r.kind] -= int64(sum.Uint64())
	t.wrote, r.emptied = true, count
	return nil
}
