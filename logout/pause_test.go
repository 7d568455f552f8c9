package logout_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// A pause lets deliveries in flight finish and be recorded, and claims nothing until it is over.
func TestPause(t *testing.T) {
	t.Parallel()
	began, answer := make(chan struct{}), make(chan struct{})
	var asked atomic.Int32
	rp := newRelyingParty(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		if asked.Add(1) == 1 {
			close(began)
			select {
			case <-answer:
			case <-t.Context().Done():
			}
		}
		w.WriteHeader(http.StatusOK)
	})
	q := newQueue(due("first", "rp"))
	d := start(t, q, logout.ClientMap{"rp": rp.client("rp")})
	<-began
	brief, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	resumeFirst, err := d.Pause(brief)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Pause with a delivery in flight: %v, want its context's error", err)
	}
	close(answer)
	resume, err := d.Pause(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q.waitState(t, "first", logout.Delivered)
	q.add(due("second", "rp"))
	d.Wake()
	resumeFirst()
	if resumed, err := d.Pause(t.Context()); err != nil { // by now the queue was read, if at all
		t.Fatal(err)
	} else {
		resumed()
	}
	if n := asked.Load(); n != 1 {
		t.Fatalf("%d deliveries in a pause, want only the first", n)
	}
	resume()
	q.waitState(t, "second", logout.Delivered)
}
