package admin

// The backend page, with swaps.

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// backendView is the data of the backend page.
type backendView struct {
	*hostadapter.BackendStatus
	// Serving is the configured name of the current backend, Names are those it can be replaced by. Both are
	// empty if there is nothing to swap to.
	Serving string
	Names   []string
	// Movable reports whether a backup can be taken.
	Movable bool
}

// swapView is the part of a job's page about a swap.
type swapView struct{ *hostadapter.SwapState }

// Copied and Changed count records; HeldMS is how long writes were paused.
func (v *swapView) Copied() int     { return int(v.Progress.Copied) }
func (v *swapView) Changed() int    { return int(v.Progress.Changed) }
func (v *swapView) HeldMS() float64 { return heldMS(v.SwapState) }

// PhaseText describes the phase of a swap in words.
func (v *swapView) PhaseText() string {
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

// backendPage shows the backend and its health, also if the backend is unavailable.
func (m *mount) backendPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	data := backendView{BackendStatus: m.sessions.BackendStatus(r.Context())}
	data.Serving, data.Names = m.sessions.BackendName(), m.sessions.BackendNames()
	// The current backend comes last: it can only be upgraded.
	if at := slices.Index(data.Names, data.Serving); at >= 0 {
		data.Names = append(slices.Delete(data.Names, at, at+1), data.Serving)
	}
	data.Movable = slices.Contains(data.Services, transfer.Service)
	return m.show(w, r, record, http.StatusOK, "backend",
		view{Title: "Backend", Section: "backend", Data: data})
}

// swapFromPage starts a swap or an upgrade and redirects to its job.
func (m *mount) swapFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form := r.PostForm
	if form.Get("backend") == "" {
		return ticketstore.Invalidf("backend", "is missing: choose one")
	}
	job, err := m.startSwap(r.Context(), record, form.Get("backend"), form.Get("same_data") == "true")
	if err != nil {
		return err
	}
	seeOther(w, "job?"+url.Values{"id": {job}}.Encode())
	return nil
}

// abortFromPage aborts a swap and redirects to its job.
func (m *mount) abortFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form := r.PostForm
	job := form.Get("id")
	record.add(slog.String("job", job))
	if err := m.abortSwapJob(r.Context(), job); err != nil {
		return err
	}
	seeOther(w, "job?"+url.Values{"id": {job}}.Encode())
	return nil
}
