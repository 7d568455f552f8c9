package badger

// Resuming after a restart: jobs and purges that were interrupted.

import (
	"context"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// resume resumes jobs and purges of dead grants' rows after a crash.
//
// If the store takes no writes, they are left to the other store of the move, or until the move has ended.
func (e *Engine) resume(ctx context.Context) error {
	if kv.Admitted(e.db.Ledger(), false) != nil {
		return nil
	}
	var jobs, sids []string
	err := e.db.View(ctx, func(r *kv.Snapshot) (err error) {
		if jobs, err = kv.IDsUnder(r, layout.IndexJobRunning); err != nil {
			return err
		}
		sids, err = kv.IDsUnder(r, layout.TablePurge)
		return err
	})
	if err != nil || len(jobs)+len(sids) == 0 {
		return err
	}
	return e.db.InBackground(func(ctx context.Context) {
		e.logger.InfoContext(ctx, "resuming interrupted endings", "jobs", len(jobs), "purges", len(sids))
		for _, id := range jobs {
			e.workAlone(ctx, id)
		}
		for _, sid := range sids {
			if err := e.purgeSession(ctx, sid, time.Time{}); err != nil {
				if ctx.Err() != nil {
					return
				}
				e.logger.ErrorContext(ctx, "interrupted purge could not be finished", "error", err)
			}
		}
	})
}

// jobLocks serializes calls with the same operation id.
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
