package hostadapter_test

// Failed upgrades. Successful ones need a plugin's program to replace, and are tested in integration.

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Close does not wait for the next attempt to open a backend.
func TestCloseEndsTheWaitForABackend(t *testing.T) {
	t.Parallel()
	var logs testenv.Log
	var opened atomic.Int64
	var broken atomic.Bool
	h := newHost(t, swappable(t, "old"), func(c *hostadapter.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logs, nil))
		open := c.Swap.Backends["old"]
		c.Swap.Backends["old"] = func(ctx context.Context) (sessions.Backend, error) {
			opened.Add(1)
			if broken.Load() {
				return nil, errors.New("the disk is missing")
			}
			return open(ctx)
		}
	})
	broken.Store(true)
	id, err := h.Operations().Upgrade(t.Context(), "old")
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the host waits for a backend to open", func() bool {
		return logs.Contains("the serving backend cannot be reopened")
	})
	// Its caller is answered meanwhile, although the note of a followed job cannot be stored.
	h.Operations().FollowJob(t.Context(), id, nil, func(*hostadapter.JobEnd) {})
	if logs.Contains("only this host follows it") {
		t.Error("following an upgrade waited for the store until the call failed")
	}
	if err := h.Operations().AbortSwap(t.Context(), id); !errors.Is(err, hostadapter.ErrSwap) {
		t.Errorf("aborting an upgrade: %v, want ErrSwap", err)
	}
	attempts := opened.Load()
	_ = h.Close() // nothing was open
	if again := opened.Load() - attempts; again != 0 {
		t.Errorf("%d attempts to open a backend after Close, want none", again)
	}
}
