package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// upgraded starts an upgrade and waits for its end.
func upgraded(t *testing.T, adapter *hostadapter.Adapter, name string) *hostadapter.SwapState {
	t.Helper()
	id, err := adapter.Operations().Upgrade(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return swapEnd(t, adapter, id)
}

// signingIn signs users in and reads their sessions until stop, and returns the number of acknowledged
// sign-ins. Their session ids contain the mark.
func signingIn(
	t *testing.T, backend sessions.Backend, mark string,
) (count *atomic.Int64, stop func() []string) {
	t.Helper()
	count = &atomic.Int64{}
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var sids []string
	now := time.Now().UTC()
	for worker := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stopped:
					return
				default:
				}
				sid := fmt.Sprintf("sid-%s-%d-%d", mark, worker, i)
				session := &ticketstore.Session{
					Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann",
					Issuer: "https://op.example", AuthTime: now,
					Created: now, Renewed: now, Expires: now.Add(time.Hour),
				}
				err := backend.Tickets().Create(t.Context(), session)
				if err == nil {
					_, err = backend.Grants().Apply(t.Context(), &grantstore.Batch{
						OperationID: "op-" + sid, Use: &grantstore.Use{SessionID: sid, ClientID: "app"},
					}, now)
				}
				if err == nil {
					_, err = backend.Tickets().Get(t.Context(), session.Key)
				}
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				mu.Lock()
				sids = append(sids, sid)
				mu.Unlock()
				count.Add(1)
			}
		})
	}
	return count, func() []string {
		close(stopped)
		wg.Wait()
		return sids
	}
}

// A newer program takes over the data of the serving one under load. If it fails, nothing changes.
func TestUpgradeWhileUsersWork(t *testing.T) {
	t.Parallel()
	folder := badger.Settings{Path: t.TempDir()}
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	adapter := pluginHost(t, "v1", map[string]plugin.Config{
		"v1":     patient(binary(t, "sessions-badger"), folder),
		"v2":     patient(binary(t, "sessions-badger-v2"), folder),
		"broken": patient(broken, folder), "other data": badgerConfig(t),
	})
	backend := adapter.Backend()
	serves := func(want bool) {
		t.Helper()
		description, err := backend.Describe(t.Context())
		if err != nil || (description.Version == "v2") != want {
			t.Errorf("version %q serves, error %v, want v2: %t", description.Version, err, want)
		}
	}
	count, stop := signingIn(t, backend, "users")
	work := func() {
		before := count.Load()
		testenv.Eventually(t, "the load continues", func() bool {
			return count.Load() > before+50 || t.Failed()
		})
	}
	work()
	for name, old := range map[string]string{"broken": "v1", "other data": "v1"} {
		if state := upgraded(t, adapter, name); !errors.Is(state.Err, hostadapter.ErrSwap) ||
			adapter.Operations().BackendName() != old {
			t.Errorf("upgrade to %s: %+v, %s serves", name, state, adapter.Operations().BackendName())
		}
		serves(false)
		work()
	}
	for _, name := range []string{"v2", "v2"} { // the second time, the program under its own name
		state := upgraded(t, adapter, name)
		if state.Err != nil || state.Progress.Phase != transfer.Done || state.Progress.Held <= 0 ||
			adapter.Operations().BackendName() != name {
			t.Errorf("upgrade to %s: %+v, %s serves", name, state, adapter.Operations().BackendName())
		}
		t.Logf("calls waited for %s", state.Progress.Held)
		serves(true)
		work()
	}
	sids := stop()
	for _, sid := range sids {
		if detail, err := backend.Tickets().Find(t.Context(), sid); err != nil || len(detail.Clients) != 1 {
			t.Errorf("session %s was acknowledged: %+v, error %v", sid, detail, err)
		}
	}
}

// A backend that cannot be upgraded is kept.
func TestUpgradeIsRefused(t *testing.T) {
	t.Parallel()
	adapter := pluginHost(t, "memory", map[string]plugin.Config{"memory": memoryConfig(t)})
	if _, err := adapter.Operations().Upgrade(t.Context(), "memory"); !errors.Is(err, hostadapter.ErrSwap) {
		t.Errorf("upgrade of data that would be lost: %v, want ErrSwap", err)
	}
	_, err := adapter.Operations().Upgrade(t.Context(), "nowhere")
	if !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("upgrade to a name that is not configured: %v, want ErrNotFound", err)
	}
	if status := adapter.Operations().BackendStatus(t.Context()); status.Err != nil ||
		len(status.Limits) != 1 {
		t.Errorf("status %+v, want one limit", status)
	}
}
