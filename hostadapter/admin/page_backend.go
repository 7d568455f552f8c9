package admin

// The pages of a job and of a session's grants.

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// jobView is the data of a job's page.
type jobView struct {
	*job
	Began, Ended stamp
	// Running: the page loads itself again.
	Running bool
	// Move is what is shown of a swap, nil for other jobs.
	Move *moveView
}

// Title says what the job does.
func (v *jobView) Title() string {
	switch {
	case v.Swap == nil:
		return "Ending all sessions"
	case v.Swap.Upgrade:
		return "Upgrading the backend"
	}
	return "Swapping the backend"
}

// Abortable: the swap has not come to its switch, from which there is no way back.
func (v *jobView) Abortable() bool {
	return v.Running && v.Swap != nil && !v.Swap.Upgrade && v.Swap.Progress.Phase != transfer.Switching
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
	now := m.sessions.Now()
	data := &jobView{
		job: job, Began: stampOf(job.Started, now), Ended: stampOf(job.Finished, now),
		Running: job.State == logout.JobRunning,
	}
	if job.Swap != nil {
		data.Move = &moveView{job.Swap}
	}
	if data.Running {
		w.Header().Set("Refresh", "2")
	}
	return m.show(w, r, record, http.StatusOK, "job",
		view{Title: data.Title(), Section: "backend", Data: data})
}

// retryAllFromPage has the notifications that a filter selects sent again and leads back to their list.
func (m *mount) retryAllFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	filter := logout.NotificationFilter{
		State: logout.State(form.Get("state")), ClientID: form.Get("client_id"),
		SessionID: form.Get("session_id"),
	}
	record.add(slog.String("state", string(filter.State)), slog.String("client_id", filter.ClientID),
		slog.String("session_id", filter.SessionID))
	count, err := m.sessions.RetryNotifications(r.Context(), filter)
	if err != nil {
		return err
	}
	record.add(slog.Int("notifications_queued", count))
	back := url.Values{"again": {strconv.Itoa(count)}}
	for name, value := range map[string]string{"client_id": filter.ClientID, "session_id": filter.SessionID} {
		if value != "" {
			back.Set(name, value)
		}
	}
	seeOther(w, "deliveries?"+back.Encode())
	return nil
}
