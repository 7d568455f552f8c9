package logout

import (
	"time"
)

// JobRetention is how long a job is kept after its end.
const JobRetention = 24 * time.Hour

// JobState is the state of a job.
type JobState string

// The states of a job. One that failed is taken up again when the store is opened again, or when its ending
// is repeated.
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
	// Phase is what a job that is not done is at.
	Phase string
	// Started is the now of the ending. Finished is when the job was done, to the second or so: a store reads
	// no clock, so the next call that says what time it is tells. It is zero until then.
	Started  time.Time
	Finished time.Time
	// Total is how many sessions there were to look at when the job began, Done how many have been looked at.
	Total int
	Done  int
	// Result counts what was done so far.
	Result Result
	// Error says why a job failed.
	Error string
}
