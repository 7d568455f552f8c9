package logout

// Jobs: endings of several sessions (rules 1 and 6).

import (
	"time"
)

// JobRetention is how long a job is kept after its end.
const JobRetention = 24 * time.Hour

// JobState is the state of a job.
type JobState string

// The states of a job. A failed job is resumed when the store is opened again, or when its ending is
// repeated.
const (
	JobRunning JobState = "running"
	JobDone    JobState = "done"
	JobFailed  JobState = "failed"
)

// The phases of a job, in their order.
const (
	// PhaseSessions: sessions are ended.
	PhaseSessions = "sessions"
	// PhaseSurvivors: what has outlived sessions that ended before is revoked.
	PhaseSurvivors = "survivors"
	// PhaseGrants: grants without a session are revoked, consents among them.
	PhaseGrants = "grants"
	// PhasePurge: the rows of dead grants are removed and counted.
	PhasePurge = "purge"
)

// Job is the progress of an ending of several sessions.
type Job struct {
	// ID is the Ending's OperationID.
	ID    string
	State JobState
	// Phase is the present phase of a job that is not done.
	Phase string
	// Started is the now of the ending. Finished is when the job was done, to about a second: a store reads
	// no clock, so it takes the now of the next call. It is zero until then.
	Started  time.Time
	Finished time.Time
	// Total is how many sessions the job had to check when it began, Done how many it has checked.
	Total int
	Done  int
	// Result counts what was done so far.
	Result Result
	// Error says why a job failed.
	Error string
}
