package rules

// When records are looked at because their time comes, and what becomes of them.

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// EndedRetention is how long an ended record is kept at least. After that it goes as soon as it has no grant
// to judge.
const EndedRetention = 24 * time.Hour

// EndedDue is when to look whether an ended record may go.
func EndedDue(ended *records.Ended) int64 {
	return records.Nanos(records.Moment(ended.GetWhen()).Add(EndedRetention))
}

// DueOf is when to look at a record because its time comes: a session is over, another one may go. 0 is
// never.
func DueOf(message proto.Message) int64 {
	switch m := message.(type) {
	case *records.Session:
		return records.Nanos(Due(m))
	case *records.Ended:
		return EndedDue(m)
	case *records.Grant:
		if Former(m) {
			return math.MinInt64 // at once
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

// Earlier is the earlier one of two moments, of which the first may be none (zero).
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// graceOver is the first moment at which a used grant cannot be used again.
func graceOver(g *records.Grant) int64 {
	if over := g.GetConsumed() + int64(g.GetUsed()); over > g.GetConsumed() {
		return over
	}
	return math.MaxInt64
}

// GrantDue is when a grant may go, or be made small, 0 for never.
func GrantDue(g *records.Grant) int64 {
	due := grantOver(g)
	if g.GetUsed() > 1 {
		return min(due, graceOver(g))
	}
	return due
}

// grantOver is when a grant may go: at its Expires, a used one too, so that its reuse is noticed until then.
func grantOver(g *records.Grant) int64 {
	if g.GetExpires() == 0 && g.GetConsumed() != 0 {
		return records.Nanos(records.Moment(g.GetConsumed()).Add(grantstore.ConsumedRetention))
	}
	return g.GetExpires()
}

// Retention is what a purge does with a grant.
type Retention int

// What a purge does.
const (
	Kept    Retention = iota
	Reduced           // what detecting its reuse does not need is deleted: see Reduce
	Deleted
)

// RetentionOf decides what a purge at now does with a grant.
func RetentionOf(g *records.Grant, now time.Time) Retention {
	switch at := records.Nanos(now); {
	case grantOver(g) != 0 && grantOver(g) <= at:
		return Deleted
	case g.GetUsed() > 1 && graceOver(g) <= at, Former(g):
		return Reduced
	}
	return Kept
}

// Former reports whether a former release has used a grant, and kept it whole.
func Former(g *records.Grant) bool { return g.GetConsumed() != 0 && g.GetUsed() == 0 }

// Reduce returns what is kept of a used grant: less once its grace is over. One that a former release has
// kept whole gets a grace of FormerGrace.
func Reduce(g *records.Grant, now time.Time) *records.Grant {
	if Former(g) && UsedAgain(g, FormerGrace, now) {
		return Used(g, FormerGrace, g.GetConsumed())
	}
	return Used(g, 0, g.GetConsumed())
}

// JobDue is when to look whether a job may go, 0 as long as it is not done: at once where no call has said
// when that was.
func JobDue(job *records.Job) int64 {
	switch {
	case job.GetPhase() != "":
		return 0
	case job.GetFinished() == 0:
		return math.MinInt64
	}
	return records.Nanos(records.Moment(job.GetFinished()).Add(logout.JobRetention))
}

// DateJob gives a job that is done its time where it has none, and reports whether it did; and whether its
// time is up.
func DateJob(job *records.Job, now time.Time) (dated, over bool) {
	if job.GetPhase() == "" && job.GetFinished() == 0 {
		job.Finished = records.Nanos(now)
		return true, false
	}
	due := JobDue(job)
	return false, due != 0 && due <= records.Nanos(now)
}
