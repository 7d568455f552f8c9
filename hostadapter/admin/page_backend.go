package admin

// The page of the backend, and swaps from it.

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// backendView is the data of the backend's page.
type backendView struct {
	*hostadapter.BackendStatus
	// Serving is what the backend is called, Names are those that it can be replaced by. Both are empty where
	// there is nothing to swap.
	Serving string
	Names   []string
	// Movable: a backup can be taken.
	Movable bool
}

// moveView is what a job's page shows of a swap.
type moveView struct{ *hostadapter.SwapState }

// Copied and Changed count records, HeldMS is for how long writes waited.
func (v *moveView) Copied() int     { return int(v.Progress.Copied) }
func (v *moveView) Changed() int    { return int(v.Progress.Changed) }
func (v *moveView) HeldMS() float64 { return heldMS(v.SwapState) }

// PhaseText says in words what a swap is at.
func (v *moveView) PhaseText() string {
	switch v.Progress.Phase {
	case transfer.Preparing:
		return "Preparing"
	case transfer.Copying:
		return "Copying; the old backend serves"
	case transfer.CatchingUp:
		return "Copying changes"
	case transfer.Switching:
		return "Switching; requests wait"
	case transfer.Done:
		return "The new backend serves"
	}
	return "The old backend keeps serving"
}

// backendPage shows what runs and how it is. A backend that cannot be reached is what the page is there to
// show.
func (m *mount) backendPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	data := backendView{BackendStatus: m.sessions.BackendStatus(r.Context())}
	data.Serving, data.Names = m.sessions.BackendName(), m.sessions.BackendNames()
	// The one that serves comes last: it can only be upgraded.
	if at := slices.Index(data.Names, data.Serving); at >= 0 {
		data.Names = append(slices.Delete(data.Names, at, at+1), data.Serving)
	}
	data.Movable = slices.Contains(data.Services, transfer.Service)
	return m.show(w, r, record, http.StatusOK, "backend",
		view{Title: "Backend", Section: "backend", Data: data})
}

// swapFromPage begins a swap or an upgrade and leads to its job.
func (m *mount) swapFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form := r.PostForm
	if form.Get("backend") == "" {
		return ticketstore.Invalidf("backend", "is missing: choose one")
	}
	job, err := m.beginSwap(r.Context(), record, form.Get("backend"), form.Get("same_data") == "true")
	if err != nil {
		return err
	}
	seeOther(w, "job?"+url.Values{"id": {job}}.Encode())
	return nil
}

// abortFromPage aborts a swap and leads back to its job.
func (m *mount) abortFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form := r.PostForm
	job := form.Get("id")
	record.add(slog.String("job", job))
	if err := m.endSwap(r.Context(), job); err != nil {
		return err
	}
	seeOther(w, "job?"+url.Values{"id": {job}}.Encode())
	return nil
}
