package rules

// Rule 1: endings of several steps, their progress and their answer.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// NewJob returns the job of an ending of several steps that begins at now, in its first phase.
func NewJob(e *logout.Ending, now time.Time) *records.Job {
	job := records.FromEnding(e, now)
	job.Phase = logout.PhaseSessions
	return job
}

// PhaseAfter returns the phase of an ending after the given one, or "" if the ending is done. It skips phases
// without work.
func PhaseAfter(phase string, e *logout.Ending) string {
	switch phase {
	case logout.PhaseSessions:
		if Strict(e) {
			return logout.PhaseSurvivors
		}
		return PhaseAfter(logout.PhaseSurvivors, e)
	case logout.PhaseSurvivors:
		if e.SessionID != "" || !e.KeepTokens || !e.KeepConsents {
			return logout.PhaseGrants
		}
		return logout.PhasePurge
	case logout.PhaseGrants:
		return logout.PhasePurge
	}
	return ""
}

// Finish marks a job as done. Its time is set later, by a call that has one: see DateJob.
func Finish(job *records.Job) {
	job.Phase, job.Cursor, job.Last, job.Error, job.ConsentsClients = "", nil, nil, "", nil
	job.Registered = nil
}

// Progress adds a result to a job.
func Progress(job *records.Job, done *logout.Result) {
	total := records.ResultOf(job.GetDone())
	Sum(total, done)
	job.Done = records.FromResult(total)
}

// Removed adds an ended session to a result.
func Removed(result *logout.Result, s *records.Session) {
	ended := logout.EndedSession{SessionID: s.GetSessionId(), SubjectID: s.GetSubjectId()}
	Sum(result, &logout.Result{SessionsRemoved: 1, Ended: []logout.EndedSession{ended}})
}

// Sum adds a result to a total, without duplicates among the clients left alone. The lists are bounded.
func Sum(total, result *logout.Result) {
	total.Add(*result)
	total.Ended = append(total.Ended, result.Ended...)
	total.Ended = total.Ended[:min(len(total.Ended), logout.MaxEnded)]
	total.ClientsLeftAlone = append(total.ClientsLeftAlone, result.ClientsLeftAlone...)
	slices.Sort(total.ClientsLeftAlone)
	total.ClientsLeftAlone = slices.Compact(total.ClientsLeftAlone)
	total.ClientsLeftAlone = total.ClientsLeftAlone[:min(len(total.ClientsLeftAlone), logout.MaxLeftAlone)]
}

// CompletedResult returns the answer to a completed ending from its operation or its job, or nil if it is not
// completed. The answer to an ending of all is its job.
func CompletedResult(id string, operation *records.Operation, job *records.Job) *logout.Result {
	switch {
	case operation != nil:
		return records.ResultOf(operation.GetEnding())
	case job == nil || job.GetPhase() != "":
		return nil
	case job.GetAll():
		return &logout.Result{JobID: id}
	}
	return records.ResultOf(job.GetDone())
}
