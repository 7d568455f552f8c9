package main

// Progress of long operations.

import (
	"context"
	"errors"
	"fmt"

	"github.com/schollz/progressbar/v3"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

// showsBar reports whether stderr is a terminal that can redraw a line; a dumb one cannot.
func (a *app) showsBar() bool { return isTerminal(a.err) && a.getenv("TERM") != "dumb" }

// bar returns a progress bar on stderr. total is -1 if unknown.
func (a *app) bar(total int, text string, options ...progressbar.Option) *progressbar.ProgressBar {
	return progressbar.NewOptions(total, append([]progressbar.Option{
		progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(clean(text)),
		progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(a.showsBar()),
	}, options...)...)
}

// follow watches a job and prints how it ended. It returns errJobFailed if the job failed. An interrupt stops
// watching, not the job.
func (a *app) follow(ctx context.Context, id string) error {
	var bar *progressbar.ProgressBar
	var last *client.Job
	phase := ""
	for job, err := range a.client.Watch(ctx, id) {
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("the job continues, see sessionsctl jobs watch %s: %w", id, err)
			}
			return err
		}
		last = job
		total := -1
		if job.Total != nil {
			total = *job.Total
		}
		if bar == nil || bar.GetMax() != total {
			bar = a.bar(total, job.Kind)
		}
		bar.Describe(clean(job.Kind + " " + job.Phase))
		_ = bar.Set(job.Done)
		if !a.showsBar() && job.Phase != phase && job.Running() {
			phase = job.Phase
			a.say("%s %s: %d of %s done", clean(job.Kind), clean(phase), job.Done, number(job.Total))
		}
	}
	if last == nil {
		return errors.New("the server returned no state of the job")
	}
	_ = bar.Finish()
	if err := a.printJob(last); err != nil {
		return err
	}
	if last.State != "done" {
		return fmt.Errorf("%w: %s", errJobFailed, last.Error)
	}
	return nil
}
