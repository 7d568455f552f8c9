package badger

// Jobs (j dr dx): endings of several steps.

import (
	"context"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/listing"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s endings) Job(ctx context.Context, id string) (*logout.Job, error) {
	return read(ctx, s.e, ticketstore.CheckID("id", id), func(r *kv.Snapshot) (*logout.Job, error) {
		job, err := loadJob(r, id)
		switch {
		case err != nil:
			return nil, err
		case job == nil:
			return nil, fmt.Errorf("job: %w", ticketstore.ErrNotFound)
		}
		return records.JobOf(id, job), nil
	})
}

// newJob returns the job of an ending without a sid. It covers the sessions up to the last one that exists
// now.
func newJob(r kv.Reader, ending *logout.Ending, now time.Time) (*records.Job, error) {
	job := rules.NewJob(ending, now)
	if !ending.All {
		index := layout.Key(layout.IndexSubject, layout.More(ending.SubjectID))
		if err := lastSession(r, index, job); err != nil {
			return nil, err
		}
		n, err := countKeys(r, index, listing.MaxScan)
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
	if err := lastSession(r, layout.IndexListing, job); err != nil {
		return nil, err
	}
	n, err := counted(r, "")
	job.Total = int64(n)
	return job, err
}

func lastSession(r kv.Reader, index []byte, job *records.Job) error {
	return r.Scan(index, nil, true, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		job.Last = k[len(index):]
		return false, nil
	})
}

// countKeys returns the number of keys under a prefix, or -1 if there are more than most.
func countKeys(r kv.Reader, prefix []byte, most int) (n int, err error) {
	err = r.Scan(prefix, nil, false, func([]byte, func() ([]byte, error)) (bool, error) {
		n++
		return n <= most, nil
	})
	if n > most {
		n = -1
	}
	return n, err
}

// endingAll reports whether an ending of all sessions is running. A stopped one does not count.
func endingAll(r kv.Reader) (busy bool, err error) {
	ids, err := kv.IDsUnder(r, layout.IndexJobRunning)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		job, err := loadJob(r, id)
		if err := r.StepOver(err); err != nil { // a job that cannot be read has stopped
			return false, err
		}
		busy = busy || (job.GetAll() && job.GetError() == "")
	}
	return busy, nil
}

// loadJob returns a job, or nil.
func loadJob(r kv.Reader, id string) (*records.Job, error) {
	return kv.Find[records.Job](r, layout.JobKey(id))
}

// recall returns the answer to a completed ending, or the job of one that is under way.
func recall(r kv.Reader, id string) (answer *logout.Result, underWay *records.Job, err error) {
	operation, err := kv.Find[records.Operation](r, layout.OperationKey(id))
	if err != nil {
		return nil, nil, err
	}
	job, err := loadJob(r, id)
	if job.GetPhase() != "" {
		return nil, job, err
	}
	return rules.CompletedResult(id, operation, job), nil, err
}

// saveJob writes a job and its index entry: among the running jobs or, once done, by age. A finished job is
// also kept as the answer to its operation id. If its time is unknown, the next call with a clock sets it
// (purgeJobs).
func saveJob(t *kv.Tx, id string, job *records.Job) error {
	t.Delete(layout.JobRunningKey(id))
	replaceEntries(t, nil, layout.JobEntries(id, job))
	return t.Save(layout.JobKey(id), job)
}

// addProgress adds a result to a running job, in the transaction that produced it.
func addProgress(t *kv.Tx, id string, done *logout.Result) error {
	job, err := loadJob(t, id)
	if err != nil || job.GetPhase() == "" {
		return t.StepOver(err) // no longer needed for a count
	}
	rules.Progress(job, done)
	return saveJob(t, id, job)
}

// failJob records why a job cannot continue.
func failJob(t *kv.Tx, id string, cause error) error {
	job, err := loadJob(t, id)
	if err != nil || job.GetPhase() == "" {
		return err
	}
	job.Error = rules.Cut(cause.Error())
	return saveJob(t, id, job)
}

// purgeJobs removes jobs that finished long ago, and dates finished jobs without a time.
func purgeJobs(t *kv.Tx, limit int, now time.Time) (int, error) {
	return takeEntries(t, layout.IndexJobAge, limit, now.Add(-logout.JobRetention), func(id string) error {
		job, err := loadJob(t, id)
		if job == nil {
			return t.Abandon(err)
		}
		switch dated, over := rules.DateJob(job, now); {
		case dated:
			return saveJob(t, id, job)
		case over:
			t.Delete(layout.JobKey(id))
		}
		return nil
	})
}
