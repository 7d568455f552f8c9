package postgres

// Endings requested by a caller: of one session, of a subject's or of all under a job, and their dry runs.

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

// End continues if the caller's context ends: an unfinished job would wait for a host to resume it.
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
			_, _ = s.workOn(ending.OperationID) // its callers poll the job
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

// begin ends one session, or as much of a job as fits, in one transaction. It returns the answer if the
// ending is complete; otherwise that transaction has written the job, which must be continued. For an ending
// of all it writes only the job.
func (e *Engine) begin(ending *logout.Ending, now time.Time) (progressed, error) {
	id := ending.OperationID
	p := planOf(cmp.Or(ending.SessionID, id)).session(ending.SessionID).operation(id)
	return scan(e.background, e, now, p, func(t *tx) (progressed, error) {
		t.ends = true
		job := t.job(id)
		if before := rules.CompletedResult(id, t.operation(id), job); before != nil {
			return progressed{before, true}, nil
		}
		begun := progressed{answer: &logout.Result{JobID: id}}
		if job.GetPhase() != "" { // written by an earlier call
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
			if t.runJob(ending, job, maxInline); job.Phase == "" {
				begun, job.Finished = progressed{records.ResultOf(job.Done), true}, records.Nanos(now)
			}
		}
		t.saveJob(id, job)
		return begun, nil
	})
}

// progressed is the progress of an ending after a transaction: its answer once it is done.
type progressed struct {
	answer *logout.Result
	done   bool
}

// beginOne ends one session. It writes a job only for work that does not fit into its transaction.
func (t *tx) beginOne(ending *logout.Ending) progressed {
	c := t.end(ending, ending.SessionID, maxInline)
	rules.Sum(&c.Result, &logout.Result{})
	if c.Idle {
		return progressed{answer: &c.Result, done: true}
	}
	if !c.Purge && len(c.Consents) == 0 {
		t.answer(ending.OperationID, &records.Operation{Ending: records.FromResult(&c.Result)})
		return progressed{&c.Result, true}
	}
	t.saveJob(ending.OperationID, c.Rest())
	return progressed{}
}

// newJob returns the job of an ending without a sid. It covers the sessions up to the last one that exists
// now.
func (t *tx) newJob(ending *logout.Ending) (*records.Job, error) {
	job := rules.NewJob(ending, t.now)
	filter := &ticketstore.SessionFilter{SubjectID: ending.SubjectID}
	if ending.All && !ending.DryRun {
		// Of two concurrent ones, one waits here and then finds the other.
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

// leaseTime is for how long a host that works on a job excludes others from it, by the database's clock.
const leaseTime = 30 * time.Second

// saveJob writes a job, and extends its lease.
func (t *tx) saveJob(id string, job *records.Job) {
	t.put(transfer.Jobs, id, job)
	t.extra = append(t.extra, statement{`UPDATE {s}.jobs SET lease = ` + databaseTime + ` + $2 WHERE id = $1`,
		[]any{id, int64(leaseTime)}})
}

// databaseTime is the database's clock, which decides leases (rule 14).
const databaseTime = `(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint`

// workOn runs a job to its end, one transaction after another. The row of the job is locked in each: two
// hosts that work on it alternate. A job that cannot continue records its own error.
func (e *Engine) workOn(id string) (answer *logout.Result, err error) {
	for {
		p, err := scan(e.background, e, anyTime, planOf(id), func(t *tx) (progressed, error) {
			t.ends = true
			return t.continueJob(id), nil
		})
		switch {
		case err == nil && !p.done:
		case err != nil && e.background.Err() != nil:
			return nil, errClosed
		case err != nil && !errors.Is(err, ticketstore.ErrUnavailable): // otherwise it is resumed later
			e.failJob(id, err)
			return nil, err
		default:
			return p.answer, err
		}
	}
}

// continueJob runs one transaction of a job.
func (t *tx) continueJob(id string) progressed {
	job := proto.CloneOf(t.job(id))
	if job.GetPhase() == "" {
		return progressed{rules.CompletedResult(id, t.operation(id), job), true}
	}
	job.Error = ""
	then := &tx{group: t.group, now: records.Moment(job.GetNow())}
	then.runJob(records.EndingOf(id, job), job, maxInline)
	t.saveJob(id, job)
	return progressed{records.ResultOf(job.GetDone()), job.GetPhase() == ""}
}

// failJob records why a job cannot continue.
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

// dryRun counts what an ending would do, in one snapshot. Its changes are not written, and are discarded
// after each transaction of a job.
func (e *Engine) dryRun(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (*logout.Result, error) {
	return view(ctx, e, now, nil, func(t *tx) (*logout.Result, error) {
		if ending.SessionID != "" {
			c := t.end(ending, ending.SessionID, unbounded)
			rules.Sum(&c.Result, &logout.Result{})
			return &c.Result, nil
		}
		job, err := t.newJob(ending)
		if err != nil {
			return nil, err
		}
		for job.Phase != "" && t.err == nil {
			t.forget()
			t.runJob(ending, job, unbounded)
		}
		return records.ResultOf(job.GetDone()), nil
	})
}

// forget discards what was read and changed.
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
		err = s.awaitHosts(ctx) // it is shown as done only once it is done at all hosts
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}
