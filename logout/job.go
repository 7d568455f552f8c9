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

// The phases of a job, in order.
const (
	// PhaseSessions ends sessions.
	PhaseSessions = "sessions"
	// PhaseSurvivors revokes grants that have outlived sessions that ended earlier.
	PhaseSurvivors = "survivors"
	// PhaseGrants revokes grants without a session, including consents.
	PhaseGrants = "grants"
	// PhasePurge removes and counts the rows of dead grants.
	PhasePurge = "purge"
)

// Job is the progress of an ending of several sessions.
type Job struct {
	// ID is the Ending's OperationID.
	ID    string
	State JobState
	// Phase is the current phase of a job that is not done.
	Phase string
	// Started is the now of the ending. Finished is when the job was found done: a store reads no clock, so
	// it is the now of the next purge, up to a minute later. Zero until then.
	Started  time.Time
	Finished time.Time
	// Total is the number of sessions to check when the job began, Done the number checked so far.
	Total int
	Done  int
	// Result counts what was done so far.
	Result Result
	// Error says why a job failed.
	Error string
}
