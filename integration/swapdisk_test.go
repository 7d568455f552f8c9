//go:build linux

package integration

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// If the disk of the new store fills up, the swap ends and the old store keeps serving.
func TestSwapToAFullDisk(t *testing.T) {
	t.Parallel()
	if !testenv.NeedNamespace(t) {
		return
	}
	disk := t.TempDir()
	testenv.Tmpfs(t, disk, 0, "size=12m,mode=0700")
	adapter := pluginHost(t, "old", map[string]plugin.Config{
		"old": badgerConfig(t),
		"new": patient(binary(t, "sessions-badger"),
			badger.Settings{Path: filepath.Join(disk, "new"), MinFreeMiB: 1}),
	})
	tickets, now := adapter.Backend().Tickets(), time.Now().UTC()
	const sessions = 400 // of 64 KiB each
	session := func(i int) *ticketstore.Session {
		sid := fmt.Sprintf("sid-%d", i)
		return &ticketstore.Session{
			Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
			AuthTime: now, Created: now,
			Renewed: now, Expires: now.Add(time.Hour), Ticket: make([]byte, ticketstore.MaxTicket),
		}
	}
	for i := range sessions {
		if err := tickets.Create(t.Context(), session(i)); err != nil {
			t.Fatal(err)
		}
	}
	id, err := adapter.Operations().Swap(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	operations := adapter.Operations()
	var state *hostadapter.SwapState
	testenv.Eventually(t, "the swap has ended", func() bool {
		state, err = operations.SwapByID(t.Context(), id)
		return err != nil || !state.Finished.IsZero()
	})
	serves := operations.BackendName()
	if err != nil || state.Err == nil || state.Progress.Phase != transfer.Failed || serves != "old" {
		t.Fatalf("the swap %+v, error %v, %s serves: want it failed", state, err, serves)
	}
	if !errors.Is(state.Err, ticketstore.ErrNoSpace) {
		t.Errorf("the swap failed: %v, want ErrNoSpace", state.Err)
	}
	t.Logf("the swap failed after %s: %.300s", state.Finished.Sub(state.Started), state.Err)
	for i := range sessions {
		got, err := tickets.Get(t.Context(), session(i).Key)
		if err != nil || len(got.Ticket) != ticketstore.MaxTicket {
			t.Fatalf("session %d: %v", i, err)
		}
	}
	if err := tickets.Create(t.Context(), session(sessions)); err != nil {
		t.Errorf("sign in after the swap: %v", err)
	}
}
