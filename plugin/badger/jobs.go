package badger

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s endings) Job(ctx context.Context, id string) (found *logout.Job, err error) {
	if err := ticketstore.CheckID("id", id); err != nil {
		return nil, err
	}
	err = s.e.view(ctx, func(r reader) error {
		job := &records.Job{}
		there, err := load(r, jobKey(id), job)
		if err != nil {
			return err
		}
		if !there {
			return fmt.Errorf("job: %w", ticketstore.ErrNotFound)
		}
		found = records.JobOf(id, job)
		return nil
	})
	return found, err
}

// newJob returns the job of an ending without a sid. Its sessions are those up to the last one that there is now.
func newJob(r reader, ending *logout.Ending, now time.Time) (*records.Job, error) {
	job := records.FromEnding(ending, now)
	job.Phase = logout.PhaseSessions
	if !ending.All {
		index := key(indexSubject, more(ending.SubjectID))
		if err := lastSession(r, index, job); err != nil {
			return nil, err
		}
		n, err := countKeys(r, index, maxScan)
		job.Total = int64(n)
		return job, err
	}
	if busy, err := endingAll(r); err != nil || busy {
		if busy && !ending.DryRun {
			err = logout.ErrBusy
		}
		if err != nil {
			return nil, err
		}
	}
	if err := lastSession(r, indexListing, job); err != nil {
		return nil, err
	}
	n, err := counted(r, "")
	job.Total = int64(n)
	return job, err
}

func lastSession(r reader, index []byte, job *records.Job) error {
	return r.scan(index, nil, true, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		job.Last = k[len(index):]
		return false, nil
	})
}

// countKeys counts the keys under a prefix, -1 if there are more than most.
func countKeys(r reader, prefix []byte, most int) (n int, err error) {
	err = r.scan(prefix, nil, false, func([]byte, func() ([]byte, error)) (bool, error) {
		n++
		return n <= most, nil
	})
	if n > most {
		n = -1
	}
	return n, err
}

// endingAll tells whether an ending of all sessions is under way. One that has stopped is not.
func endingAll(r reader) (busy bool, err error) {
	ids, err := idsUnder(r, indexJobRunning)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		job := &records.Job{}
		if _, err := load(r, jobKey(id), job); err != nil {
			if err := r.stepOver(err); err != nil {
				return false, err
			}
			continue // it cannot go on
		}
		busy = busy || (job.All && job.Error == "")
	}
	return busy, nil
}

// jobUnderWay loads a job that is not done and tells whether there is one.
func jobUnderWay(r reader, id string, job *records.Job) (bool, error) {
	found, err := load(r, jobKey(id), job)
	return found && job.Phase != "", err
}

// saveJob writes a job and its place: among those under way, or in the order of ages once it is done. A job that is done is kept as the answer
// to its operation id too. Where it is not known when that was, the next call that says what time it is tells (purgeJobs).
func (t *tx) saveJob(id string, job *records.Job) error {
	if job.Phase != "" {
		t.put(key(indexJobRunning, last(id)), nil)
		return t.save(jobKey(id), job)
	}
	job.Cursor, job.Last, job.Error = nil, nil, ""
	t.delete(key(indexJobRunning, last(id)))
	t.put(jobAgeKey(id, job), nil)
	return t.save(jobKey(id), job)
}

// dropJob removes a job and its place.
func (t *tx) dropJob(id string, job *records.Job) {
	t.delete(key(indexJobRunning, last(id)))
	if job.GetPhase() == "" {
		t.delete(jobAgeKey(id, job))
	}
	t.delete(jobKey(id))
}

// progress adds what was done to a job under way, in the transaction that did it.
func (t *tx) progress(id string, done *logout.Result) error {
	job := &records.Job{}
	found, err := jobUnderWay(t, id, job)
	if err != nil || !found {
		return t.stepOver(err) // nobody counts any more
	}
	total := records.ResultOf(job.GetDone())
	sum(total, done)
	job.Done = records.FromResult(total)
	return t.saveJob(id, job)
}

// jobFailed notes why a job cannot go on.
func (t *tx) jobFailed(id string, cause error) error {
	job := &records.Job{}
	found, err := jobUnderWay(t, id, job)
	if err != nil || !found {
		return err
	}
	job.Error = rules.Cut(cause.Error())
	return t.saveJob(id, job)
}

// jobAgeKey is a done job's place in the order of ages. Those without a time come first.
func jobAgeKey(id string, job *records.Job) []byte {
	finished := job.GetFinished()
	if finished == 0 {
		finished = math.MinInt64
	}
	return key(indexJobAge, timeKey(finished), last(id))
}

// purgeJobs removes jobs that were done long ago, and gives those their time that have none.
func (t *tx) purgeJobs(limit int, now time.Time) (int, error) {
	due, err := dueEntries(t, indexJobAge, limit, now.Add(-logout.JobRetention))
	if err != nil {
		return 0, err
	}
	for _, d := range due {
		id := string(d.id)
		t.delete(d.key)
		job := &records.Job{}
		found, err := load(t, jobKey(id), job)
		if err := t.abandon(err); err != nil {
			return 0, err
		}
		if err != nil || !found {
			continue
		}
		if job.Finished != 0 {
			t.dropJob(id, job)
			continue
		}
		job.Finished = records.Nanos(now)
		if err := t.saveJob(id, job); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}
