package badger

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
)

// resume goes on with what a crash has interrupted: jobs, and the purge of dead grants' rows.
//
// A store that takes no writes leaves that to the one in whose move it is, or to the end of the move.
func (e *Engine) resume(ctx context.Context) error {
	if admitted(e.committer.books.ledger.Load(), false) != nil {
		return nil
	}
	var operations, sids []string
	jobs := map[string]*recordpb.Job{}
	err := e.view(ctx, func(r reader) (err error) {
		if operations, err = idsUnder(r, tableJob, 0); err != nil {
			return err
		}
		for _, id := range operations {
			jobs[id] = &recordpb.Job{}
			if _, err := load(r, jobKey(id), jobs[id]); err != nil {
				return err
			}
		}
		sids, err = idsUnder(r, tablePurge, 0)
		return err
	})
	if err != nil || len(operations)+len(sids) == 0 {
		return err
	}
	return e.inBackground(func(ctx context.Context) {
		e.logger.InfoContext(ctx, "resuming interrupted endings", "jobs", len(operations), "purges", len(sids))
		err := errors.Join(e.resumeJobs(ctx, jobs), e.resumePurges(ctx, sids))
		if err != nil && ctx.Err() == nil {
			e.logger.ErrorContext(ctx, "interrupted endings could not be finished", "error", err)
		}
	})
}

func (e *Engine) resumeJobs(ctx context.Context, jobs map[string]*recordpb.Job) error {
	for id, job := range jobs {
		unlock, err := e.jobs.lock(ctx, id)
		if err != nil {
			return err
		}
		_, err = e.end(ctx, endingOf(id, job), moment(job.GetNow()))
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) resumePurges(ctx context.Context, sids []string) error {
	for _, sid := range sids {
		if err := e.purgeSession(ctx, sid, time.Time{}, func(*tx, int) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// jobLocks lets one call at a time work for an operation id.
type jobLocks struct {
	mutex sync.Mutex
	held  map[string]chan struct{}
}

func (l *jobLocks) lock(ctx context.Context, id string) (unlock func(), err error) {
	for {
		l.mutex.Lock()
		if l.held == nil {
			l.held = map[string]chan struct{}{}
		}
		held, busy := l.held[id]
		if !busy {
			released := make(chan struct{})
			l.held[id] = released
			l.mutex.Unlock()
			return func() {
				l.mutex.Lock()
				delete(l.held, id)
				l.mutex.Unlock()
				close(released)
			}, nil
		}
		l.mutex.Unlock()
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
