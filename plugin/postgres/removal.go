package postgres

// Endings that a caller asks for: of one session, of a subject's or of all under a job, and dry runs of them.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// End works on when its caller has gone: a job half done would wait for a host to take it up.
func (s endings) End(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (result *logout.Result, err error) {
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ending.AskRegistered {
		missing, err := s.missing(ctx, ending, now)
		if err != nil || len(missing) > 0 {
			return &logout.Result{MissingClients: missing}, err
		}
	}
	if ending.DryRun {
		return s.dryRun(ctx, ending, now)
	}
	type answer struct {
		result *logout.Result
		err    error
	}
	answered := make(chan answer, 1)
	s.work.Go(func() {
		p, err := s.begin(ending, now)
		switch {
		case err == nil && !p.done && ending.All:
			answered <- answer{p.answer, nil}
			s.workAlone(ending.OperationID)
			return
		case err == nil && !p.done:
			p.answer, err = s.workOn(ending.OperationID)
		}
		answered <- answer{p.answer, err}
	})
	select {
	case a := <-answered:
		if a.err == nil {
			a.err = s.awaitHosts(ctx)
		}
		if a.err != nil {
			return nil, a.err
		}
		return a.result, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the ending goes on: %w", ticketstore.ErrUnavailable, ctx.Err())
	}
}

// begin ends one session, or what fits of a job, in one transaction. It returns the answer where that is all
// there is to do; otherwise the job was written in that transaction and work is left. Of an ending of all,
// only the job is written.
func (e *Engine) begin(ending *logout.Ending, now time.Time) (progressed, error) {
	id := ending.OperationID
	p := planOf(cmp.Or(ending.SessionID, id)).session(ending.SessionID).operation(id)
	return scan(e.background, e, now, p, func(t *tx) (progressed, error) {
		t.ends = true
		job := t.job(id)
		if before := rules.Recall(id, t.operation(id), job); before != nil {
			return progressed{before, true}, nil
		}
		begun := progressed{answer: &logout.Result{JobID: id}}
		if job.GetPhase() != "" { // before
			return begun, nil
		}
		if ending.SessionID != "" {
			return t.beginOne(ending), nil
		}
		job, err := t.newJob(ending)
		if err != nil {
			return begun, err
		}
		if !ending.All {
			s := &jobBatch{tx: t, ending: ending, job: job, limit: maxInline}
			if s.run(); job.Phase == "" {
				begun, job.Finished = progressed{records.ResultOf(job.Done), true}, records.Nanos(now)
			}
		}
		t.saveJob(id, job)
		return begun, nil
	})
}

// progressed is how far a transaction of an ending has come: its answer, once it is done.
type progressed struct {
	answer *logout.Result
	done   bool
}

// beginOne ends one session. A job is written only for what does not belong in its transaction.
func (t *tx) beginOne(ending *logout.Ending) progressed {
	c := closing{tx: t, ending: ending, limit: maxInline}
	c.run(ending.SessionID)
	rules.Sum(&c.result, &logout.Result{})
	if !c.purge && len(c.consents) == 0 {
		t.answer(ending.OperationID, &records.Operation{Ending: records.FromResult(&c.result)})
		return progressed{&c.result, true}
	}
	job := records.FromEnding(ending, t.now)
	job.Phase, job.Total, job.LookedAt, job.Done = logout.PhaseGrants, 1, 1, records.FromResult(&c.result)
	job.ConsentsSubject, job.ConsentsClients = c.consentsOf, c.consents
	t.saveJob(ending.OperationID, job)
	return progressed{}
}

// newJob returns the job of an ending without a sid. Its sessions are those up to the last one that there is
// now.
func (t *tx) newJob(ending *logout.Ending) (*records.Job, error) {
	job := rules.NewJob(ending, t.now)
	filter := &ticketstore.SessionFilter{SubjectID: ending.SubjectID}
	if ending.All && !ending.DryRun {
		// Of two at once, one waits here and finds the other.
		t.exec(lockLedger)
		for _, id := range t.strings("SELECT id FROM {s}.jobs WHERE running IS NOT NULL") {
			if other := t.job(id); other.GetAll() && other.GetPhase() != "" && other.GetError() == "" {
				return nil, logout.ErrBusy
			}
		}
	}
	l := sessionListing(filter)
	if last := t.chunk(l, nil, true, 1); len(last) > 0 {
		job.Last = positionOf(last[0])
	}
	if ending.All {
		job.Total = int64(t.total(filter, l))
	} else {
		job.Total = int64(t.count(l, maxScan))
	}
	return job, nil
}

// leaseTime is for how long a host that works on a job keeps others from it, by the database's clock.
const leaseTime = 30 * time.Second

// saveJob writes a job, and keeps other hosts from it for a while.
func (t *tx) saveJob(id string, job *records.Job) {
	t.put(transfer.Jobs, id, job)
	t.extra = append(t.extra, statement{`UPDATE {s}.jobs SET lease = ` + databaseTime + ` + $2 WHERE id = $1`,
		[]any{id, int64(leaseTime)}})
}

// databaseTime is the database's clock, which decides over leases (rule 14).
const databaseTime = `(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint`

// workOn goes on with a job until it is done, one transaction after another. The row of the job is locked in
// each: two hosts that work on it go step by step. A job that cannot go on says so itself.
func (e *Engine) workOn(id string) (answer *logout.Result, err error) {
	for {
		p, err := scan(e.background, e, anyTime, planOf(id), func(t *tx) (progressed, error) {
			t.ends = true
			return t.goOn(id), nil
		})
		switch {
		case err == nil && !p.done:
		case err != nil && e.background.Err() != nil:
			return nil, errClosed
		case err != nil && !errors.Is(err, ticketstore.ErrUnavailable): // otherwise it is taken up later
			e.failJob(id, err)
			return nil, err
		default:
			return p.answer, err
		}
	}
}

// goOn does one transaction of a job.
func (t *tx) goOn(id string) progressed {
	job := proto.CloneOf(t.job(id))
	if job.GetPhase() == "" {
		return progressed{rules.Recall(id, t.operation(id), job), true}
	}
	job.Error = ""
	then := &tx{group: t.group, now: records.Moment(job.GetNow())}
	s := &jobBatch{tx: then, ending: records.EndingOf(id, job), job: job, limit: maxInline}
	s.run()
	t.saveJob(id, job)
	return progressed{records.ResultOf(job.GetDone()), job.GetPhase() == ""}
}

// failJob notes why a job cannot go on.
func (e *Engine) failJob(id string, cause error) {
	_, err := scan(e.background, e, anyTime, planOf(id), func(t *tx) (bool, error) {
		job := proto.CloneOf(t.job(id))
		if job.GetPhase() == "" {
			return false, nil
		}
		job.Error = rules.Cut(cause.Error())
		t.put(transfer.Jobs, id, job)
		return true, nil
	})
	e.logger.ErrorContext(e.background,
		"a job has stopped: repeat its call, or restart a host, and it goes on", "job", id, "error",
		errors.Join(cause, err))
}

// workAlone goes on with a job whose answer no caller waits for.
func (e *Engine) workAlone(id string) { _, _ = e.workOn(id) }

// dryRun counts what an ending would do, in one snapshot. Nothing of what it changes is written, or kept
// longer than for one transaction of a job.
func (e *Engine) dryRun(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (*logout.Result, error) {
	return view(ctx, e, now, nil, func(t *tx) (*logout.Result, error) {
		if ending.SessionID != "" {
			c := closing{tx: t, ending: ending, limit: unbounded}
			c.run(ending.SessionID)
			rules.Sum(&c.result, &logout.Result{})
			return &c.result, nil
		}
		job, err := t.newJob(ending)
		if err != nil {
			return nil, err
		}
		for job.Phase != "" && t.err == nil {
			t.forget()
			s := &jobBatch{tx: t, ending: ending, job: job, limit: unbounded}
			s.run()
		}
		return records.ResultOf(job.GetDone()), nil
	})
}

// forget drops what was read and changed.
func (g *group) forget() {
	clear(g.rows)
	clear(g.uses)
	clear(g.whole)
	g.grants, g.undo, g.extra = nil, nil, nil
}

func (s endings) Job(ctx context.Context, id string) (*logout.Job, error) {
	invalid := ticketstore.CheckID("id", id)
	found, err := view(ctx, s.Engine, anyTime, invalid, func(t *tx) (*logout.Job, error) {
		if job := t.job(id); job != nil {
			return records.JobOf(id, job), nil
		}
		return nil, missing("job")
	})
	if err == nil && found.State == logout.JobDone {
		err = s.awaitHosts(ctx) // it is shown as done when it is done at all hosts
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}
