package logout_test

// A store that forgets outcomes, or returns notifications of a different issuer.

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// forgetful is a queue that ignores outcomes and hands out one notification forever.
type forgetful struct {
	*queue
	mu    sync.Mutex
	claim uint64
}

func (f *forgetful) Claim(context.Context, logout.Claim, time.Time) (*logout.ClaimResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.claim++
	return &logout.ClaimResult{
		Deliveries: []logout.Delivery{{Notification: due("n", "rp"), Claim: f.claim}}, Next: time.Now(),
	}, nil
}

func (f *forgetful) Settle(context.Context, string, uint64, logout.Outcome, time.Time) error {
	return nil
}

func TestRepeatedDeliveryIsPaced(t *testing.T) {
	t.Parallel()
	rp, log := newRelyingParty(t, status(200)), &testenv.Log{}
	f := &forgetful{queue: newQueue()}
	start(t, f.queue, logout.ClientMap{"rp": rp.client("rp")}, func(c *logout.DispatcherConfig) {
		c.Store, c.Logger = f, slog.New(slog.NewTextHandler(log, nil))
	})
	testenv.Eventually(t, "the notification is skipped", func() bool {
		return strings.Contains(log.String(), "repeatedly")
	})
	f.mu.Lock()
	before := f.claim
	f.mu.Unlock()
	testenv.Eventually(t, "it was claimed a few more times", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.claim > before+3
	})
	if n := len(rp.received()); n > 100 {
		t.Errorf("the client was notified %d times, want at most 100", n)
	}
}

func TestNotificationOfAnotherIssuerIsNotSigned(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, status(200))
	other, former := due("other", "rp"), due("former", "rp")
	other.Issuer, former.Issuer = "https://bank.example", "https://old.example"
	q := newQueue(due("own", "rp"), other, former)
	start(t, q, logout.ClientMap{"rp": rp.client("rp")}, once, func(c *logout.DispatcherConfig) {
		c.Issuers = []string{"https://op.example", "https://old.example"}
	})
	q.waitState(t, "own", logout.Delivered)
	q.waitState(t, "former", logout.Delivered)
	if n := q.waitAttempts(t, "other", 1); n.State != logout.Pending ||
		!strings.Contains(n.LastError, "another issuer") {
		t.Errorf("state %q, last error %q; want it pending, with the reason", n.State, n.LastError)
	}
	for _, token := range rp.received() {
		if token.Issuer == other.Issuer {
			t.Error("a logout token of a different issuer was signed")
		}
	}
}
