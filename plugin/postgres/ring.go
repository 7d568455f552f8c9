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
// expired in the previous span. Counting a large partition may take longer than a call: then it continues
// without the caller, and later calls skip the partition meanwhile.
func (e *Engine) emptyRings(ctx context.Context, now time.Time) (int, error) {
	if !e.emptying.CompareAndSwap(false, true) {
		return 0, nil
	}
	type answer struct {
		emptied int
		err     error
	}
	answered := make(chan answer, 1)
	e.work.Go(func() {
		var a answer
		for _, r := range ringsOver(records.Nanos(now)) {
			if err := e.emptyRing(r, now); err != nil && !errors.Is(err, errConflict) {
				a.err = err
				break
			}
			a.emptied += int(r.emptied) // 0 while an export or a backup reads it: a later purge empties it
		}
		e.emptying.Store(false)
		answered <- a
	})
	select {
	case a := <-answered:
		return a.emptied, a.err
	case <-ctx.Done():
		return 0, nil
	}
}

// ringsOver returns the partitions that have expired at a moment. No host writes to them during the span of
// that moment: new operations go to this span or an adjacent one, newly used grants to this one or the next
// two, and a host with a slower clock writes those of the previous span only in the first minutes. Therefore
// the first and the last hour of a span of used grants are excluded.
func ringsOver(at int64) (list []*ring) {
	operations := bucket(at, operationSpan)
	list = append(list, &ring{
		kind: transfer.Operations, counted: "NOT echo", at: at, span: operationSpan,
		partition: fmt.Sprintf("operations_%d", ringOf(operations+2)),
	})
	used := bucket(at, usedSpan)
	if bucket(at-2*overAfter, usedSpan) == used && bucket(at+2*overAfter, usedSpan) == used {
		list = append(list, &ring{
			kind: transfer.Grants, counted: "true", at: at, span: usedSpan,
			partition: fmt.Sprintf("used_%d", ringOf(used+3)),
		})
	}
	return list
}

// overAfter is how long after its expiry a used grant in a ring counts as deleted (see over). It is longer
// than any transaction.
const overAfter = int64(30 * time.Minute)

// over reports whether a used grant that was read may be in a partition that is being emptied. It expired
// long ago, so nothing depends on it, and it must not be changed: such a partition is counted in an earlier
// transaction than the one that empties it.
func (g *group) over(r *row) bool {
	used, ok := r.now.(*records.Grant)
	return ok && used.GetConsumed() != 0 && r.ring != outside && used.GetExpires() < g.at-overAfter
}

// shortLockTimeout limits a transaction's waits for locks, because others would wait behind it.
const shortLockTimeout = "SET LOCAL lock_timeout = '100ms'"

// ring is a partition to empty, found at a moment. counted selects the rows that are counted as records.
type ring struct {
	kind      transfer.Kind
	partition string
	counted   string
	at, span  int64
	// content is the content of the partition at the database's time read.
	content transfer.Content
	read    int64
	emptied int64
}

// emptyRing counts a partition in a snapshot, which blocks no writers, and empties it in a transaction.
func (e *Engine) emptyRing(r *ring, now time.Time) error {
	full, err := view(e.background, e, now, nil, r.count)
	if err != nil || !full {
		return err
	}
	return e.submit(&call{
		ctx: e.background, now: now, plan: *planOf("purge"), admits: rules.Writes, run: r.empty, once: true,
	})
}

// count counts the rows, and reports whether there are any to remove. It counts none of a store that is being
// exported or whose rows a backup reads: that takes long, and they could not be removed. A host whose clock
// was just set wrong could take the current partition for an expired one, so it is refused (rule 14).
func (r *ring) count(t *tx) (full bool, err error) {
	if full = t.state == transfer.Active && !r.inUse(t, longRead) && r.full(t); full {
		r.read, err = t.databaseClock()
	}
	if !full || err != nil {
		return false, err
	}
	var text string
	account := "SELECT count(*), coalesce(sum(sum), 0)::text FROM {s}." + r.partition + " WHERE " + r.counted
	if t.err == nil {
		t.fail(t.conn.QueryRow(t.ctx, t.sql(account)).Scan(&r.content.Count, &text))
	}
	sum, ok := new(big.Int).SetString(text, 10)
	if t.err != nil || !ok {
		return false, t.err
	}
	sum.And(sum, new(big.Int).SetUint64(math.MaxUint64)) // two's complement, also of a negative number
	r.content.Sum = sum.Uint64()
	return true, nil
}

// longRead is for how long another transaction may hold a lock on a partition before it is left for later.
const longRead = 10 * time.Second

// inUse reports whether another transaction that is older holds a lock on the partition: a host that counts
// it, or the snapshot of a backup. The server hides how old the transactions of other roles are: they count
// as older.
func (r *ring) inUse(t *tx, older time.Duration) bool {
	return t.number(`SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.relation = $1::regclass AND l.pid <> pg_backend_pid()
		AND coalesce(a.xact_start, '-infinity') < clock_timestamp() - make_interval(secs => $2))::int`,
		t.sql("{s}."+r.partition), older.Seconds()) > 0
}

// full reports whether the partition has rows.
func (r *ring) full(t *tx) bool {
	return t.number("SELECT EXISTS (SELECT FROM {s}."+r.partition+")::int") > 0
}

// databaseClock returns the database's time, or an error if this host's clock is off it.
func (t *tx) databaseClock() (nanos int64, err error) {
	own := time.Now
	if t.host != nil {
		own = t.host.now
	}
	before := own()
	nanos = int64(t.number("SELECT " + databaseTime))
	if t.err != nil {
		return 0, nil
	}
	return nanos, checkClock(before, own(), time.Unix(0, nanos))
}

// empty subtracts the rows from the contents and empties the partition. A store that is being exported would
// have to journal each row, so it keeps them. The rows have not changed since they were counted: no host
// writes to the partition within the span, and expired grants are not changed. Only another host may have
// emptied it.
func (r *ring) empty(t *tx) error {
	r.emptied = 0
	if t.state != transfer.Active {
		return nil
	}
	t.exec(shortLockTimeout)
	t.exec("LOCK TABLE {s}." + r.partition + " IN SHARE ROW EXCLUSIVE MODE")
	counted := r.full(t)
	read, err := t.databaseClock()
	if err != nil || bucket(r.at+read-r.read, r.span) != bucket(r.at, r.span) {
		counted = false
	}
	if counted {
		t.exec("TRUNCATE {s}." + r.partition)
	}
	t.exec("SET LOCAL lock_timeout = DEFAULT")
	if t.err != nil || !counted {
		return err
	}
	t.slot.counts[r.kind] -= r.content.Count
	t.slot.sums[r.kind] -= int64(r.content.Sum)
	t.wrote, r.emptied = true, r.content.Count
	return nil
}
