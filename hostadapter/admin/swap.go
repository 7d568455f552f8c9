package admin

// POST and DELETE /backend/swap.

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// swapOf converts a swap to its part of a job in JSON.
func swapOf(s *hostadapter.SwapState) *client.Swap {
	return &client.Swap{
		From: s.From, To: s.To, SameData: s.Upgrade, Left: s.Left(), Changed: s.Progress.Changed,
		RatePerSecond: s.Rate, WritesHeldMS: heldMS(s),
	}
}

// heldMS returns how long writes were paused, in milliseconds.
func heldMS(s *hostadapter.SwapState) float64 { return float64(s.Progress.Held.Microseconds()) / 1000 }

func (m *mount) swapBackend(w http.ResponseWriter, r *http.Request, audit *audit) error {
	var name string
	var sameData bool
	if err := readBody(w, r, map[string]any{"backend": &name, "same_data": &sameData}); err != nil {
		return err
	}
	if name == "" {
		return ticketstore.Invalidf("backend", "is missing: name a backend of the server's configuration")
	}
	job, err := m.startSwap(r.Context(), audit, name, sameData)
	if err != nil {
		return err
	}
	writeStarted(w, job)
	return nil
}

// startSwap starts a swap, or an upgrade over the same data, and returns its job.
func (m *mount) startSwap(
	ctx context.Context, audit *audit, name string, sameData bool,
) (job string, err error) {
	audit.add(slog.String("backend", name), slog.Bool("same_data", sameData),
		slog.String("backend_before", m.sessions.BackendName()))
	begin := m.sessions.Swap
	if sameData {
		begin = m.sessions.Upgrade
	}
	job, err = begin(ctx, name)
	switch {
	case errors.Is(err, hostadapter.ErrSwap):
		return "", swapProblem(err, "backend")
	case errors.Is(err, ticketstore.ErrNotFound):
		return "", &problem{
			status: http.StatusNotFound,
			detail: "There is no backend of this name in the server's configuration.", field: "backend",
		}
	case err != nil:
		return "", err
	}
	audit.startedJob(job)
	return job, nil
}

func (m *mount) abortSwap(w http.ResponseWriter, r *http.Request, audit *audit) error {
	job, err := pathValue(r, "id", "")
	if err != nil {
		return err
	}
	audit.add(slog.String("job", job))
	if err := readNoBody(w, r); err != nil {
		return err
	}
	if err := m.abortSwapJob(r.Context(), job); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// abortSwapJob aborts a swap.
func (m *mount) abortSwapJob(ctx context.Context, job string) error {
	err := m.sessions.AbortSwap(ctx, job)
	if errors.Is(err, hostadapter.ErrSwap) {
		return swapProblem(err, "id")
	}
	return notFound(err, "There is no such swap.")
}

// swapProblem converts the error of a refused swap to a problem.
func swapProblem(err error, field string) error {
	return &problem{status: http.StatusConflict, detail: sentence(err), field: field}
}
