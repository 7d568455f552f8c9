package admin

// GET /jobs/{id}: removals and swaps.

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// job is work that outlasts a request: a removal of many sessions, or a swap.
type job struct {
	logout.Job
	// Swap is nil for a removal.
	Swap *hostadapter.SwapState
}

// job returns the progress of a job. Removals are kept for a day after their end, swaps until the host stops.
func (m *mount) job(ctx context.Context, id string) (*job, error) {
	removal, err := m.sessions.Job(ctx, id)
	if err == nil {
		return &job{Job: *removal}, nil
	}
	if !errors.Is(err, ticketstore.ErrNotFound) {
		return nil, err
	}
	swap, err := m.sessions.SwapByID(ctx, id)
	if err != nil {
		return nil, notFound(err, "There is no such job. Removals are kept for a day after their end, the "+
			"last 100 swaps until the server stops.")
	}
	return jobOf(swap), nil
}

// jobOf converts a swap to a job. Its counts are of records.
func jobOf(swap *hostadapter.SwapState) *job {
	j := &job{Swap: swap, Job: logout.Job{
		ID: swap.ID, State: logout.JobRunning, Phase: string(swap.Progress.Phase), Started: swap.Started,
		Finished: swap.Finished,
		Total:    int(swap.Progress.Total), Done: int(swap.Progress.Copied),
	}}
	switch {
	case swap.Finished.IsZero():
	case swap.Progress.Phase == transfer.Aborted:
		j.State, j.Error = logout.JobFailed, "it was aborted before its switch"
	case swap.Err != nil:
		j.State, j.Error = logout.JobFailed, swap.Err.Error()
	default:
		j.State = logout.JobDone
	}
	return j
}

// writeStarted answers that a job was started, with the job's URL in Location. The URL is relative to the
// routes that start jobs, because a proxy may have changed the path prefix.
func writeStarted(w http.ResponseWriter, id string) {
	w.Header().Set("Location", "../jobs/"+url.PathEscape(id))
	writeJSON(w, http.StatusAccepted, map[string]string{"job": id})
}

func (m *mount) getJob(w http.ResponseWriter, r *http.Request, _ *audit) error {
	id, err := pathValue(r, "id", "")
	if err != nil {
		return err
	}
	job, err := m.job(r.Context(), id)
	if err != nil {
		return err
	}
	body := client.Job{
		ID: job.ID, Kind: "removal", State: string(job.State), Phase: job.Phase,
		Started: job.Started.UTC(), Finished: job.Finished.UTC(), Total: known(job.Total), Done: job.Done,
		Error: plain(job.Error),
	}
	if job.Swap != nil {
		body.Kind, body.Swap = "swap", swapOf(job.Swap)
	} else {
		body.Result = resultOf(&job.Result)
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}
