package steps

// Jobs: endings of many sessions, in bounded steps (rule 1).

import (
	"bytes"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// Position is a session in an index, along which a job walks.
type Position struct {
	SID string
	At  []byte
}

// JobBatch is one transaction of a job. The job walks along indexes and stores its position in them, so that
// it does not meet a remaining row again. Position, counts and changes are written together: a crash neither
// skips nor repeats a row.
type JobBatch struct {
	Ending *logout.Ending
	Job    *records.Job
	// marked: this transaction left rows of dead grants. It does not see its own marks.
	marked bool
	// spent: the transaction has reached its bounds.
	spent bool
}

// Run advances through the phases as far as one transaction can. The job's phase is empty when it is done.
func (b *JobBatch) Run(rows JobRows) (err error) {
	for b.Job.Phase != "" && !b.spent && err == nil {
		switch b.Job.Phase {
		case logout.PhaseSessions, logout.PhaseSurvivors:
			err = b.endSessions(rows)
		case logout.PhaseGrants:
			err = b.dropGrants(rows)
		default:
			err = b.purge(rows)
		}
	}
	if b.Job.Phase == "" {
		rules.Finish(b.Job)
	}
	return err
}

// reached starts the next phase after the last row of this one. Otherwise the next transaction continues.
func (b *JobBatch) reached(end bool) {
	if end && !b.spent {
		b.Job.Phase, b.Job.Cursor = rules.PhaseAfter(b.Job.Phase, b.Ending), nil
		return
	}
	b.spent = true
}

// endSessions ends the sessions that existed when the job began: the index is in creation order, and later
// sessions come after job.Last. Or it revokes the survivors of sessions that ended before, or while the job
// runs.
func (b *JobBatch) endSessions(rows JobRows) error {
	sessions := b.Job.Phase == logout.PhaseSessions
	found, all, err := rows.Ahead()
	if err != nil {
		return err
	}
	done := &logout.Result{}
	for _, p := range found {
		if sessions && bytes.Compare(p.At, b.Job.Last) > 0 {
			all = true
			break
		}
		c, err := rows.EndAt(p)
		if err != nil {
			return err
		}
		rules.Sum(done, &c.Result)
		b.marked = b.marked || c.Purge
		b.Job.Cursor = p.At
		if sessions {
			b.Job.LookedAt++
		}
		if b.spent = rows.Full(); b.spent {
			break
		}
	}
	rules.Progress(b.Job, done)
	b.reached(all)
	return nil
}

// dropGrants revokes the grants that subjects have without a session, including consents, or the consents
// that did not fit into the transaction that ended their session.
func (b *JobBatch) dropGrants(rows JobRows) error {
	switch {
	case b.Ending.SessionID == "":
		done, all, err := rows.DropUnbound()
		rules.Progress(b.Job, &done)
		b.reached(all)
		return err
	case len(b.Job.ConsentsClients) == 0:
		b.reached(true)
		return nil
	}
	revoked, left, err := rows.DropConsents(b.Job.ConsentsSubject, b.Job.ConsentsClients[0])
	if !left {
		b.Job.ConsentsClients = b.Job.ConsentsClients[1:]
	}
	rules.Progress(b.Job, &logout.Result{ConsentsRevoked: revoked})
	b.spent = true
	return err
}

// purge removes the rows of dead grants left by the job's transactions, so that all are counted when it is
// done.
func (b *JobBatch) purge(rows JobRows) error {
	if b.marked {
		b.spent = true
		return nil
	}
	revoked, found, err := rows.PurgeMarked()
	rules.Progress(b.Job, &logout.Result{GrantsRevoked: revoked})
	b.reached(!found)
	return err
}
