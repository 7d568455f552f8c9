package rules

// When records become due, and what happens to them.

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// EndedRetention is the minimum retention of an ended record. After that it is deleted once it has no grants
// to judge.
const EndedRetention = 24 * time.Hour

// EndedDue returns when to check whether an ended record may be deleted.
func EndedDue(ended *records.Ended) int64 {
	return records.Nanos(records.Moment(ended.GetWhen()).Add(EndedRetention))
}

// DueOf returns when a record becomes due: a session expires, another record may be deleted. 0 means never.
func DueOf(message proto.Message) int64 {
	switch m := message.(type) {
	case *records.Session:
		return records.Nanos(Due(m))
	case *records.Ended:
		return EndedDue(m)
	case *records.Grant:
		if LegacyUsed(m) {
			return math.MinInt64 // immediately
		}
		return GrantDue(m)
	case *records.Operation:
		return records.Nanos(records.Moment(m.GetWhen()).Add(grantstore.OperationRetention))
	case *records.Job:
		return JobDue(m)
	case *records.Notification:
		return m.GetPurgeAt()
	}
	return 0
}

// Earlier returns the earlier of two times, of which the first may be zero for none.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// graceOver returns the first moment at which a used grant cannot be used again.
func graceOver(g *records.Grant) int64 {
	if over := g.GetConsumed() + int64(g.GetUsed()); over > g.GetConsumed() {
		return over
	}
	return math.MaxInt64
}

// GrantDue returns when a grant may be deleted or reduced, or 0 for never.
func GrantDue(g *records.Grant) int64 {
	due := grantOver(g)
	if g.GetUsed() > 1 {
		return min(due, graceOver(g))
	}
	return due
}

// grantOver returns when a grant may be deleted: at its Expires. This includes used grants, whose reuse is
// detected until then.
func grantOver(g *records.Grant) int64 {
	if g.GetExpires() == 0 && g.GetConsumed() != 0 {
		return records.Nanos(records.Moment(g.GetConsumed()).Add(grantstore.ConsumedRetention))
	}
	return g.GetExpires()
}

// Retention is what a purge does with a grant.
type Retention int

// The actions of a purge.
const (
	Kept    Retention = iota
	Reduced           // deleted except for what the detection of reuse needs: see Reduce
	Deleted
)

// RetentionOf decides what a purge at now does with a grant.
func RetentionOf(g *records.Grant, now time.Time) Retention {
	switch at := records.Nanos(now); {
	case grantOver(g) != 0 && grantOver(g) <= at:
		return Deleted
	case g.GetUsed() > 1 && graceOver(g) <= at, LegacyUsed(g):
		return Reduced
	}
	return Kept
}

// LegacyUsed reports whether a grant was used by an earlier release, which kept it whole.
func LegacyUsed(g *records.Grant) bool { return g.GetConsumed() != 0 && g.GetUsed() == 0 }

// Reduce returns what is kept of a used grant: less once its grace is over. A grant kept whole by an earlier
// release gets a grace of FormerGrace.
func Reduce(g *records.Grant, now time.Time) *records.Grant {
	if LegacyUsed(g) && UsedAgain(g, FormerGrace, now) {
		return Used(g, FormerGrace, g.GetConsumed())
	}
	return Used(g, 0, g.GetConsumed())
}

// JobDue returns when to check whether a job may be deleted, or 0 if it is not done. A job that is done but
// not dated is due immediately.
func JobDue(job *records.Job) int64 {
	switch {
	case job.GetPhase() != "":
		return 0
	case job.GetFinished() == 0:
		return math.MinInt64
	}
	return records.Nanos(records.Moment(job.GetFinished()).Add(logout.JobRetention))
}

// DateJob sets the time of a job that is done and has none. It reports whether it did, and whether the job
// may be deleted.
func DateJob(job *records.Job, now time.Time) (dated, over bool) {
	if job.GetPhase() == "" && job.GetFinished() == 0 {
		job.Finished = records.Nanos(now)
		return true, false
	}
	due := JobDue(job)
	return false, due != 0 && due <= records.Nanos(now)
}
