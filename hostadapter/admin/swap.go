package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Swapper is what a Manager also is whose backend can be replaced while it serves. A hostadapter.Adapter is one.
type Swapper interface {
	// Swap begins a swap to a backend by its name and returns the id of the job. An unknown name is ticketstore.ErrNotFound, a swap that
	// cannot be is hostadapter.ErrSwap.
	Swap(ctx context.Context, name string) (job string, err error)
	// Upgrade begins the replacement of the program that serves by another over the same data. Its errors are those of Swap.
	Upgrade(ctx context.Context, name string) (job string, err error)
	// AbortSwap aborts it before its switch; one that is over is hostadapter.ErrSwap, an unknown one ticketstore.ErrNotFound.
	AbortSwap(job string) error
	// BackendName is what the backend that serves is called, BackendNames are those of the configuration, sorted.
	BackendName() string
	BackendNames() []string
}

var _ Swapper = (*hostadapter.Adapter)(nil)

// swapBody is what a job in JSON tells of a swap. Rows of a store are counted in total and done; changes are those made to them meanwhile.
type swapBody struct {
	From     string  `json:"from"`
	To       string  `json:"to"`
	SameData bool    `json:"same_data,omitempty"`
	Left     int64   `json:"left"`
	Changed  int64   `json:"changed"`
	Rate     float64 `json:"rate_per_second"`
	HeldMS   float64 `json:"writes_held_ms,omitempty"`
}

func swapOf(s *hostadapter.SwapState) *swapBody {
	return &swapBody{
		From: s.From, To: s.To, SameData: s.Upgrade, Left: s.Left(), Changed: s.Progress.Changed, Rate: s.Rate,
		HeldMS: heldMS(s),
	}
}

// heldMS is for how long writes waited, in milliseconds.
func heldMS(s *hostadapter.SwapState) float64 { return float64(s.Progress.Held.Microseconds()) / 1000 }

// mountSwap adds the routes of swaps where there is something to swap.
func (m *mount) mountSwap(router *mux.Router, change func(action string, h handler) route) {
	swapper, ok := m.sessions.(Swapper)
	if !ok {
		return
	}
	router.Handle("/backend/swap", m.methods(map[string]route{
		http.MethodPost: change("swap_backend", func(w http.ResponseWriter, r *http.Request, audit *audit) error {
			return swapBackend(w, r, audit, swapper)
		}),
	}))
	router.Handle("/backend/swap/{id:.+}", m.methods(map[string]route{
		http.MethodDelete: change("abort_swap", func(w http.ResponseWriter, r *http.Request, audit *audit) error {
			return abortSwap(w, r, audit, swapper)
		}),
	}))
}

func swapBackend(w http.ResponseWriter, r *http.Request, audit *audit, swapper Swapper) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	var name id
	var sameData bool
	if err := readBody(w, r, map[string]any{"backend": &name, "same_data": &sameData}); err != nil {
		return err
	}
	if name == "" {
		return ticketstore.Invalidf("backend", "is missing: name a backend of the server's configuration")
	}
	job, err := beginSwap(r.Context(), audit, swapper, string(name), sameData)
	if err != nil {
		return err
	}
	audit.status = http.StatusAccepted
	writeStarted(w, "../", job)
	return nil
}

// beginSwap begins a swap, or an upgrade over the same data, and returns its job.
func beginSwap(ctx context.Context, audit *audit, swapper Swapper, name string, sameData bool) (job string, err error) {
	audit.add(slog.String("backend", name), slog.Bool("same_data", sameData))
	begin := swapper.Swap
	if sameData {
		begin = swapper.Upgrade
	}
	job, err = begin(ctx, name)
	switch {
	case errors.Is(err, hostadapter.ErrSwap):
		return "", swapProblem(err, "backend")
	case errors.Is(err, ticketstore.ErrNotFound):
		return "", &problem{
			status: http.StatusNotFound, detail: "There is no backend of this name in the server's configuration.", field: "backend",
		}
	case err != nil:
		return "", err
	}
	audit.add(slog.String("job", job))
	return job, nil
}

func abortSwap(w http.ResponseWriter, r *http.Request, audit *audit, swapper Swapper) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	job, err := pathValue(r, "id", "")
	if err != nil {
		return err
	}
	audit.add(slog.String("job", job))
	if err := readNoBody(w, r); err != nil {
		return err
	}
	if err := endSwap(swapper, job); err != nil {
		return err
	}
	audit.status = http.StatusNoContent
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// endSwap aborts a swap.
func endSwap(swapper Swapper, job string) error {
	err := swapper.AbortSwap(job)
	if errors.Is(err, hostadapter.ErrSwap) {
		return swapProblem(err, "id")
	}
	return err
}

// swapProblem says why what was asked of a swap cannot be.
func swapProblem(err error, field string) error {
	return &problem{status: http.StatusConflict, detail: sentence(err), field: field}
}
