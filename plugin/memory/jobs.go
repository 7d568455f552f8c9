package memory

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type endings struct{ s *Store }

var _ logout.Store = endings{}

func (t *tx) job(id string) *records.Job { return get[*records.Job](t, transfer.Jobs, id) }

// End does all at once. What takes a database several transactions, and a job that a crash cannot lose, takes this one none: its job is done
// when anybody can see it.
func (s endings) End(ctx context.Context, e *logout.Ending, now time.Time) (result *logout.Result, err error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if e.DryRun {
		err := s.s.view(ctx, now, func(t *tx) error {
			result = t.endAll(e)
			return nil
		})
		return result, err
	}
	err = s.s.change(ctx, now, func(t *tx) error {
		result = rules.Recall(e.OperationID, t.operation(e.OperationID), t.job(e.OperationID))
		if result != nil {
			return nil
		}
		result = t.endAll(e)
		if e.All {
			result = rules.Recall(e.OperationID, nil, t.job(e.OperationID))
		}
		return nil
	})
	return result, err
}

// endAll ends what an ending selects, and keeps the answer: with an ending by sid as an operation, else as a job that is done.
func (t *tx) endAll(e *logout.Ending) *logout.Result {
	if e.SessionID != "" {
		result := t.end(e, e.SessionID)
		t.answer(e.OperationID, &records.Operation{Ending: records.FromResult(result)})
		return result
	}
	job := rules.NewJob(e, t.now)
	if sessions := t.rows(selected(e)); len(sessions) > 0 {
		job.Last = []byte(sessions[len(sessions)-1].position())
	}
	t.work(job, e)
	job.Finished = records.Nanos(t.now)
	t.save(transfer.Jobs, e.OperationID, job)
	return records.ResultOf(job.GetDone())
}

// selected is the index of the sessions that an ending without a sid is about.
func selected(e *logout.Ending) string {
	if e.All {
		return "l"
	}
	return sessionsOf(e.SubjectID)
}

// work goes through the phases of a job, from the one that it is at.
func (t *tx) work(job *records.Job, e *logout.Ending) {
	total := records.ResultOf(job.GetDone())
	switch job.GetPhase() {
	case logout.PhaseSessions:
		for _, r := range t.rows(selected(e)) {
			if r.position() <= string(job.GetLast()) {
				rules.Sum(total, t.end(e, r.key))
				job.LookedAt++
			}
		}
		job.Total = max(job.Total, job.LookedAt)
		fallthrough
	case logout.PhaseSurvivors:
		index := "e"
		if !e.All {
			index += e.SubjectID + "\x00"
		}
		for _, r := range t.rows(index) {
			rules.Sum(total, t.end(e, r.key))
		}
		fallthrough
	case logout.PhaseGrants:
		rules.Sum(total, t.endLoose(job, e))
		fallthrough
	default:
		for _, r := range t.rows(nameOf(transfer.Purges, "")) {
			if string(r.data) == e.OperationID {
				total.GrantsRevoked += t.purgeDead(r.key)
				t.delete(r.kind, r.key)
			}
		}
	}
	job.Done = records.FromResult(total)
	rules.Finish(job)
}

// endLoose revokes what no session judges: what subjects have without one and their consents, or what is left of the consents to the
// clients of one session.
func (t *tx) endLoose(job *records.Job, e *logout.Ending) *logout.Result {
	done := &logout.Result{}
	if e.SessionID != "" {
		for _, client := range job.GetConsentsClients() {
			done.ConsentsRevoked += t.dropConsents(job.GetConsentsSubject(), client)
		}
		return done
	}
	for _, r := range t.rows(listing(&grantstore.Filter{SubjectID: e.SubjectID})) {
		if g := t.grant(r.ref()); rules.RevokesLoose(e, r.ref().Type, g, t.now) {
			revoked, consents := t.drop(r.ref(), g)
			done.GrantsRevoked += revoked
			done.ConsentsRevoked += consents
		}
	}
	return done
}

// resume goes on with the jobs and the purges that another store has left.
func (t *tx) resume() {
	for _, r := range t.rows(nameOf(transfer.Jobs, "")) {
		if job := proto.CloneOf(t.job(r.key)); job.GetPhase() != "" {
			begun := &tx{t.Store, records.Moment(job.GetNow()), t.before}
			begun.work(job, records.EndingOf(r.key, job))
			t.save(transfer.Jobs, r.key, job)
		}
	}
	for _, r := range t.rows(nameOf(transfer.Purges, "")) {
		t.purgeDead(r.key)
		t.delete(r.kind, r.key)
	}
}

func (s endings) Job(ctx context.Context, id string) (found *logout.Job, err error) {
	if err := ticketstore.CheckID("id", id); err != nil {
		return nil, err
	}
	err = s.s.view(ctx, time.Time{}, func(t *tx) error {
		job := t.job(id)
		if job == nil {
			return fmt.Errorf("job: %w", ticketstore.ErrNotFound)
		}
		found = records.JobOf(id, job)
		return nil
	})
	return found, err
}

func (s endings) EndDue(
	ctx context.Context, sweep logout.Sweep, now time.Time,
) (swept *logout.SweepResult, err error) {
	if sweep.Limit <= 0 {
		return nil, ticketstore.Invalidf("limit", "is not positive")
	}
	err = s.s.change(ctx, now, func(t *tx) error {
		swept = &logout.SweepResult{}
		due := t.due(transfer.Sessions)
		for _, r := range due[:min(len(due), sweep.Limit)] {
			result := t.end(rules.Expiration(r.key, &sweep), r.key)
			swept.Ended += result.SessionsRemoved
			swept.NotificationsQueued += result.NotificationsQueued
			swept.Sessions = append(swept.Sessions, result.Ended...)
		}
		t.purge()
		t.scan("x"+nameOf(transfer.Sessions, ""), nil, false, func(_ string, r *row) bool {
			swept.Next = rules.Due(t.session(r.key))
			return false
		})
		return nil
	})
	return swept, err
}

// purge removes ended records that judge nothing any more, and notifications and jobs whose time is up.
func (t *tx) purge() {
	for _, r := range t.due(transfer.Ended) {
		if len(t.rows(tokensOf(r.key))) == 0 {
			t.delete(r.kind, r.key)
		}
	}
	for _, r := range t.due(transfer.Notifications) {
		t.delete(r.kind, r.key)
	}
	for _, r := range t.due(transfer.Jobs) {
		job := proto.CloneOf(t.job(r.key))
		switch dated, over := rules.DateJob(job, t.now); {
		case dated:
			t.save(r.kind, r.key, job)
		case over:
			t.delete(r.kind, r.key)
		}
	}
}
