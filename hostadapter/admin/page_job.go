package admin

// The page of a job.

import (
	"net/http"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// jobView is the data of a job's page.
type jobView struct {
	*job
	// Running reports whether the page reloads itself.
	Running bool
	// Move is the swap, or nil for other jobs.
	Move *swapView
}

// Title describes the job.
func (v *jobView) Title() string {
	switch {
	case v.Swap == nil:
		return "Ending all sessions"
	case v.Swap.Upgrade:
		return "Upgrading the backend"
	}
	return "Swapping the backend"
}

// Abortable reports whether this host runs the swap and has not switched yet, after which it cannot abort.
func (v *jobView) Abortable() bool {
	return v.Running && v.Swap != nil && !v.Swap.Upgrade && !v.Swap.Followed &&
		v.Swap.Progress.Phase != transfer.Switching && v.Swap.Progress.Phase != transfer.Done
}

func (m *mount) jobPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	p := readParameters(r, "id")
	if p.err != nil {
		return p.err
	}
	job, err := m.job(r.Context(), p.text("id"))
	if err != nil {
		return err
	}
	data := &jobView{job: job, Running: job.State == logout.JobRunning}
	if job.Swap != nil {
		data.Move = &swapView{job.Swap}
	}
	if data.Running {
		w.Header().Set("Refresh", "2")
	}
	return m.show(w, r, record, http.StatusOK, "job",
		view{Title: data.Title(), Section: "backend", Data: data})
}
