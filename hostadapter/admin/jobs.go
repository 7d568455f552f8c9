package admin

import (
	"net/http"
	"net/url"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// jobBody is a job in JSON.
type jobBody struct {
	ID       string               `json:"id"`
	Kind     hostadapter.JobKind  `json:"kind"`
	State    hostadapter.JobState `json:"state"`
	Phase    string               `json:"phase,omitempty"`
	Started  time.Time            `json:"started"`
	Finished time.Time            `json:"finished,omitzero"`
	// Total is absent where it is not known.
	Total *int `json:"total,omitempty"`
	Done  int  `json:"done"`
	// Result counts what a removal has done so far.
	Result *resultBody `json:"result,omitempty"`
	Swap   *swapBody   `json:"swap,omitempty"`
	Error  string      `json:"error,omitempty"`
}

// startedBody is the answer to what goes on as a job.
type startedBody struct {
	Job string `json:"job"`
}

// writeStarted answers that a job was begun, to be looked at where Location says. up leads from the request's address to where the routes
// are mounted: a proxy may have changed what is above it.
func writeStarted(w http.ResponseWriter, up, id string) {
	w.Header().Set("Location", up+"jobs/"+url.PathEscape(id))
	writeJSON(w, http.StatusAccepted, startedBody{Job: id})
}

func (m *mount) getJob(w http.ResponseWriter, r *http.Request, _ *audit) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	id, err := pathValue(r, "id", "")
	if err != nil {
		return err
	}
	job, err := m.sessions.Job(r.Context(), id)
	if err != nil {
		return err
	}
	body := jobBody{
		ID: job.ID, Kind: job.Kind, State: job.State, Phase: job.Phase, Started: job.Started.UTC(), Total: known(job.Total), Done: job.Done,
		Error: plain(job.Error),
	}
	if !job.Finished.IsZero() {
		body.Finished = job.Finished.UTC()
	}
	if job.Removed != nil {
		result := resultOf(job.Removed)
		body.Result = &result
	}
	if job.Swap != nil {
		body.Swap = swapOf(job.Swap)
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}
