package badger

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// clockSkew is how far the clocks of hosts that share a store may be apart.
const clockSkew = time.Minute

// together is how many sessions of one removal end side by side: the committer puts them into few transactions.
const together = 32

type endings struct{ e *Engine }

var _ logout.Store = endings{}

func (s endings) End(ctx context.Context, ending *logout.Ending, now time.Time) (*logout.Result, error) {
	if err := ending.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ending.DryRun {
		return s.e.rehearse(ctx, ending, now)
	}
	type answer struct {
		result *logout.Result
		err    error
	}
	answered := make(chan answer, 1)
	// The work goes on when the caller has gone: a job half done would wait for a restart.
	err := s.e.inBackground(func(background context.Context) {
		// Two calls with one operation id must not count the same work twice.
		unlock, err := s.e.jobs.lock(background, ending.OperationID)
		if err != nil {
			answered <- answer{nil, errClosed()} // its context is the engine's
			return
		}
		defer unlock()
		result, err := s.e.end(background, ending, now)
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

// end ends one session in one transaction where that is all there is to do, and works through a job otherwise.
func (e *Engine) end(ctx context.Context, ending *logout.Ending, now time.Time) (*logout.Result, error) {
	var answer *logout.Result
	var begunBy time.Time
	begun := false
	err := e.update(ctx, func(tx *tx) error {
		done := &recordpb.Operation{}
		found, err := load(tx, operationKey(ending.OperationID), done)
		if err != nil || found {
			answer = resultOf(done.GetEnding())
			return err
		}
		job := &recordpb.Job{}
		if begun, err = load(tx, jobKey(ending.OperationID), job); err != nil || begun {
			begunBy = moment(job.GetNow()).Add(clockSkew)
			return err
		}
		if ending.SessionID == "" {
			begun = true
			return tx.save(jobKey(ending.OperationID), jobRecord(ending, now))
		}
		c := e.closing(tx, ending, now)
		if err := c.run(ending.SessionID); err != nil {
			return err
		}
		if begun = c.purge; begun {
			job = jobRecord(ending, now)
			job.Done = resultRecord(&c.result)
			return tx.save(jobKey(ending.OperationID), job)
		}
		answer = &c.result
		return tx.answered(ending.OperationID, &recordpb.Operation{When: nanos(now), Ending: resultRecord(&c.result)})
	})
	if err != nil || !begun {
		return answer, err
	}
	return e.work(ctx, ending, now, begunBy)
}

func (e *Engine) closing(tx *tx, ending *logout.Ending, now time.Time) *closing {
	return &closing{engine: e, tx: tx, ending: ending, now: now, limit: maxInline}
}

// work does what is left of a job and answers it. It may be called again after a crash at any point.
// Sessions created after begunBy, if that is set, are not the interrupted removal's.
func (e *Engine) work(ctx context.Context, ending *logout.Ending, now, begunBy time.Time) (*logout.Result, error) {
	if ending.SessionID != "" {
		if err := e.purgeForJob(ctx, ending, ending.SessionID, now); err != nil {
			return nil, err
		}
		return e.finishJob(ctx, ending, now)
	}
	// First the live sessions, then those that ended before: one that ends in between is among the latter.
	for _, list := range []func(reader) ([]string, error){
		func(r reader) ([]string, error) { return sessionsOfSubject(r, ending.SubjectID) },
		func(r reader) ([]string, error) {
			return idsUnder(r, key(indexEndedSubject, more(ending.SubjectID)), 0)
		},
	} {
		if err := e.endAll(ctx, ending, now, begunBy, list); err != nil {
			return nil, err
		}
	}
	for left := true; left; {
		err := e.update(ctx, func(tx *tx) error {
			c := e.closing(tx, ending, now)
			err := c.revokeLoose()
			if left = errors.Is(err, errMore); err != nil && !left {
				return err
			}
			return tx.progress(ending.OperationID, &c.result)
		})
		if err != nil {
			return nil, err
		}
	}
	return e.finishJob(ctx, ending, now)
}

// endAll ends listed sessions, each in its own transaction.
func (e *Engine) endAll(
	ctx context.Context, ending *logout.Ending, now, begunBy time.Time, list func(reader) ([]string, error),
) error {
	var sids []string
	err := e.view(ctx, func(r reader) (err error) {
		sids, err = list(r)
		return err
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(together)
	for _, sid := range sids {
		group.Go(func() error {
			err := e.update(ctx, func(tx *tx) error {
				c := e.closing(tx, ending, now)
				c.begunBy = begunBy
				if err := c.run(sid); err != nil {
					return err
				}
				return tx.progress(ending.OperationID, &c.result)
			})
			if err != nil {
				return err
			}
			return e.purgeForJob(ctx, ending, sid, now)
		})
	}
	return group.Wait()
}

func (e *Engine) purgeForJob(ctx context.Context, ending *logout.Ending, sid string, now time.Time) error {
	return e.purgeSession(ctx, sid, now, func(tx *tx, revoked int) error {
		return tx.progress(ending.OperationID, &logout.Result{GrantsRevoked: revoked})
	})
}

// revokeLoose revokes what the subject has without a session, consents among it.
func (c *closing) revokeLoose() error {
	return c.dropLoose(key(indexGrantLoose, more(c.ending.SubjectID)), func(t grantstore.Type, client string) bool {
		switch {
		case !c.named(client):
			return false
		case t == grantstore.UserConsent:
			return !c.ending.KeepConsents
		}
		return t.IsToken() && !c.ending.KeepTokens
	})
}

// progress adds what was done to the job, in the transaction that did it.
func (t *tx) progress(operationID string, done *logout.Result) error {
	job := &recordpb.Job{}
	found, err := load(t, jobKey(operationID), job)
	if err != nil || !found {
		return err
	}
	total := resultOf(job.GetDone())
	sum(total, done)
	job.Done = resultRecord(total)
	return t.save(jobKey(operationID), job)
}

// sum adds a result to a total, in which each client left alone stands once.
func sum(total, result *logout.Result) {
	total.Add(*result)
	total.Ended = append(total.Ended, result.Ended...)
	total.Ended = total.Ended[:min(len(total.Ended), logout.MaxEnded)]
	total.ClientsLeftAlone = append(total.ClientsLeftAlone, result.ClientsLeftAlone...)
	slices.Sort(total.ClientsLeftAlone)
	total.ClientsLeftAlone = slices.Compact(total.ClientsLeftAlone)
}

// finishJob turns the job into the operation's answer.
func (e *Engine) finishJob(ctx context.Context, ending *logout.Ending, now time.Time) (answer *logout.Result, err error) {
	err = e.update(ctx, func(tx *tx) error {
		job := &recordpb.Job{}
		if _, err := load(tx, jobKey(ending.OperationID), job); err != nil {
			return err
		}
		answer = resultOf(job.GetDone())
		tx.delete(jobKey(ending.OperationID))
		return tx.answered(ending.OperationID, &recordpb.Operation{When: nanos(now), Ending: job.GetDone()})
	})
	return answer, err
}

// rehearse counts what an ending would do on a snapshot that is thrown away.
func (e *Engine) rehearse(ctx context.Context, ending *logout.Ending, now time.Time) (*logout.Result, error) {
	var total logout.Result
	err := e.view(ctx, func(r reader) error {
		snapshot, _ := r.(snapshot)
		c := e.closing(&tx{group: newGroup(snapshot), writes: map[string]write{}}, ending, now)
		c.limit = math.MaxInt
		sids := []string{ending.SessionID}
		if ending.SessionID == "" {
			live, err := sessionsOfSubject(r, ending.SubjectID)
			if err != nil {
				return err
			}
			ended, err := idsUnder(r, key(indexEndedSubject, more(ending.SubjectID)), 0)
			if err != nil {
				return err
			}
			sids = append(live, ended...)
			if err := c.revokeLoose(); err != nil {
				return err
			}
		}
		for _, sid := range sids {
			if err := c.run(sid); err != nil {
				return err
			}
		}
		sum(&total, &c.result)
		return nil
	})
	return &total, err
}

func sessionsOfSubject(r reader, subject string) ([]string, error) {
	return idsUnder(r, key(indexSubject, more(subject)), 8)
}

// idsUnder returns the ids at the ends of the keys under a prefix, after skip bytes.
func idsUnder(r reader, prefix []byte, skip int) (ids []string, err error) {
	err = r.scan(prefix, nil, false, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		if len(k) < len(prefix)+skip {
			return false, damagedEntry(k)
		}
		ids = append(ids, string(k[len(prefix)+skip:]))
		return true, nil
	})
	return ids, err
}

func jobRecord(ending *logout.Ending, now time.Time) *recordpb.Job {
	return &recordpb.Job{
		Now: nanos(now), SubjectId: ending.SubjectID, SessionId: ending.SessionID,
		Narrowed: ending.ClientIDs != nil, ClientIds: ending.ClientIDs, Reason: string(ending.Reason),
		KeepSession: ending.KeepSession, KeepTokens: ending.KeepTokens, KeepOffline: ending.KeepOffline,
		KeepConsents: ending.KeepConsents, SkipNotification: ending.SkipNotification, CoordinatedOnly: ending.CoordinatedOnly,
	}
}

func endingOf(operationID string, job *recordpb.Job) *logout.Ending {
	ending := &logout.Ending{
		OperationID: operationID, SubjectID: job.GetSubjectId(), SessionID: job.GetSessionId(), Reason: logout.Reason(job.GetReason()),
		KeepSession: job.GetKeepSession(), KeepTokens: job.GetKeepTokens(), KeepOffline: job.GetKeepOffline(),
		KeepConsents: job.GetKeepConsents(), SkipNotification: job.GetSkipNotification(),
		CoordinatedOnly: job.GetCoordinatedOnly(),
	}
	if job.GetNarrowed() {
		ending.ClientIDs = job.GetClientIds()
	}
	return ending
}
