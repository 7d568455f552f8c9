package badger

// Removals: endings requested by a caller, of one session, of a subject's or of all, and their dry runs.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/spans"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type endings struct{ e *Engine }

var _ logout.Store = endings{}

func (s endings) End(ctx context.Context, ending *logout.Ending, now time.Time) (*logout.Result, error) {
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ending.AskRegistered {
		missing, err := s.e.missing(ctx, ending)
		if err != nil || len(missing) > 0 {
			return &logout.Result{MissingClients: missing}, err
		}
	}
	if ending.DryRun {
		return s.e.dryRun(ctx, ending, now)
	}
	type answer struct {
		result *logout.Result
		err    error
	}
	answered := make(chan answer, 1)
	// The work continues if the caller's context ends: an unfinished job would wait for a restart.
	traced := spans.FromContext(ctx)
	err := s.e.db.InBackground(func(background context.Context) {
		if traced != nil {
			background = spans.NewContext(background, traced)
		}
		if ending.All {
			result, left, err := s.e.begin(background, ending, nil, now)
			answered <- answer{result, err}
			if err == nil && left {
				s.e.workAlone(background, ending.OperationID)
			}
			return
		}
		result, err := s.e.endAtOnce(background, ending, now)
		answered <- answer{result, err}
	})
	if err != nil {
		return nil, err
	}
	select {
	case a := <-answered:
		return a.result, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the ending goes on: %w", ticketstore.ErrUnavailable, ctx.Err())
	}
}

// endAtOnce ends what the ending selects and returns the answer. Calls with the same operation id are
// serialized: the second waits for the first and returns its answer.
func (e *Engine) endAtOnce(
	ctx context.Context, ending *logout.Ending, now time.Time,
) (*logout.Result, error) {
	unlock, err := e.jobs.lock(ctx, ending.OperationID)
	if err != nil {
		return nil, e.db.Gone() // its context is the engine's
	}
	defer unlock()
	result, left, err := e.begin(ctx, ending, nil, now)
	if layout.IsDamage(err) && ending.SessionID != "" {
		// Its own row cannot be read, but perhaps its row in the listing.
		listed, listedErr := e.positionListed(ctx, ending.SessionID)
		if listedErr != nil {
			return nil, listedErr
		}
		result, left, err = e.begin(ctx, ending, listed, now)
	}
	if err != nil || !left {
		return result, err
	}
	return e.work(ctx, ending.OperationID)
}

// workAlone continues a job without a waiting caller.
func (e *Engine) workAlone(ctx context.Context, id string) {
	unlock, err := e.jobs.lock(ctx, id)
	if err != nil {
		return
	}
	defer unlock()
	if _, err := e.work(ctx, id); err != nil && ctx.Err() == nil {
		e.logger.ErrorContext(ctx,
			"job has stopped: repeat its call, or restart the plugin, and it goes on",
			"job", id, "error", err)
	}
}

// begin ends one session, or as much of a job as fits, in one transaction. It returns the answer if the
// ending is complete; otherwise that transaction has written the job, which must be continued. For an ending
// of all it writes only the job.
//
// listed is the listing position of the session of an ending by sid, if its own row is known to be damaged.
func (e *Engine) begin(
	ctx context.Context, ending *logout.Ending, listed []byte, now time.Time,
) (answer *logout.Result, left bool, err error) {
	err = e.end(ctx, func(tx *kv.Tx) error {
		answer, left = nil, false
		known, job, err := recall(tx, ending.OperationID)
		switch {
		case err != nil:
			return err
		case known != nil:
			answer = known
			return nil
		case job != nil:
			answer, left = &logout.Result{JobID: ending.OperationID}, true
			return nil
		}
		if ending.SessionID != "" {
			answer, left, err = e.beginOne(tx, ending, listed, now)
			return err
		}
		if job, err = newJob(tx, ending, now); err != nil {
			return err
		}
		if ending.All {
			answer, left = &logout.Result{JobID: ending.OperationID}, true
			return saveJob(tx, ending.OperationID, job)
		}
		if err := e.closing(tx, ending, now).runJob(job); err != nil {
			return err
		}
		if left = job.Phase != ""; !left {
			answer, job.Finished = records.ResultOf(job.Done), records.Nanos(now)
		}
		return saveJob(tx, ending.OperationID, job)
	})
	return answer, left, err
}

// beginOne ends one session. It writes a job only for work that does not fit into its transaction.
func (e *Engine) beginOne(
	tx *kv.Tx, ending *logout.Ending, listed []byte, now time.Time,
) (answer *logout.Result, left bool, err error) {
	c := e.closing(tx, ending, now)
	c.listed = listed
	if err := c.run(ending.SessionID); err != nil {
		return nil, false, err
	}
	if c.Idle {
		return &c.Result, false, nil
	}
	if !c.Purge && len(c.Consents) == 0 {
		operation := &records.Operation{When: records.Nanos(now), Ending: records.FromResult(&c.Result)}
		return &c.Result, false, saveAnswer(tx, ending.OperationID, operation)
	}
	return nil, true, saveJob(tx, ending.OperationID, c.Rest())
}

func (e *Engine) closing(tx *kv.Tx, ending *logout.Ending, now time.Time) *closing {
	return &closing{
		Closing: steps.Closing{Ending: ending, Now: now}, engine: e, tx: tx, limit: maxInline,
	}
}

// spacePause is the interval at which a job that met a full disk tries to continue.
const spacePause = 2 * time.Second

// work runs a job to its end, one transaction after another. It may be called again after a crash at any
// point. A job that meets a full disk waits for space: its failure could not be written either. A job that
// cannot continue for another reason records its error.
func (e *Engine) work(ctx context.Context, id string) (answer *logout.Result, err error) {
	waiting := false
	for done := false; !done; {
		err := e.updateInBackground(ctx, func(tx *kv.Tx) (err error) {
			answer, done, err = e.continueJob(tx, id)
			return err
		})
		switch {
		case err == nil:
			waiting = false
		case ctx.Err() != nil:
			return nil, e.db.Gone()
		case errors.Is(err, ticketstore.ErrNoSpace):
			if !waiting {
				e.logger.WarnContext(ctx, "a job waits for disk space", "job", id, "error", err)
			}
			waiting = true
			select {
			case <-time.After(spacePause):
			case <-ctx.Done():
			}
		default:
			return nil, errors.Join(err, e.end(ctx, func(tx *kv.Tx) error { return failJob(tx, id, err) }))
		}
	}
	return answer, nil
}

// continueJob runs one transaction of a job.
func (e *Engine) continueJob(tx *kv.Tx, id string) (answer *logout.Result, done bool, err error) {
	answer, job, err := recall(tx, id)
	if err != nil || job == nil {
		return answer, err == nil, err
	}
	job.Error = ""
	now := records.Moment(job.Now)
	if err := e.closing(tx, records.EndingOf(id, job), now).runJob(job); err != nil {
		return nil, false, err
	}
	return records.ResultOf(job.Done), job.Phase == "", saveJob(tx, id, job)
}

// dryRun counts what an ending would do, in a snapshot, in steps whose changes are discarded.
func (e *Engine) dryRun(ctx context.Context, ending *logout.Ending, now time.Time) (*logout.Result, error) {
	var total *logout.Result
	err := e.db.View(ctx, func(r *kv.Snapshot) error {
		discarded := func() *closing {
			c := e.closing(kv.DryRun(r), ending, now)
			c.limit = unbounded
			return c
		}
		if ending.SessionID != "" {
			c := discarded()
			err := c.run(ending.SessionID)
			if layout.IsDamage(err) {
				c = discarded()
				if c.listed, err = findListed(r, ending.SessionID); err == nil {
					err = c.run(ending.SessionID)
				}
			}
			total = &c.Result
			rules.Sum(total, &logout.Result{})
			return err
		}
		job, err := newJob(discarded().tx, ending, now)
		if err != nil {
			return err
		}
		for job.Phase != "" {
			if err := r.Ended(); err != nil {
				return err
			}
			if err := discarded().runJob(job); err != nil {
				return err
			}
		}
		total = records.ResultOf(job.Done)
		return nil
	})
	return total, err
}
