//go:build unix

package integration

// A plugin that hangs (rule 11).

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A removal has no deadline, but a hanging plugin is detected: the caller of a removal gets its answer from
// the next plugin, or ErrUnavailable if none starts, within the time of the health check (HealthTimeout, once
// a second) and of a lost call (CallTimeout).
func TestRemovalOnAPluginThatHangs(t *testing.T) {
	t.Parallel()
	for name, startsAgain := range map[string]bool{
		"it is replaced": true, "it is not replaced": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "sessions-badger")
			if err := os.Link(binary(t, "sessions-badger"), path); err != nil {
				t.Fatal(err)
			}
			config := plugin.Config{
				Path: path, Settings: badger.Settings{Path: t.TempDir()},
				Logger:      slog.New(slog.NewTextHandler(watched.log(), nil)),
				CallTimeout: patience, LongCallTimeout: 24 * time.Hour, // does not end the call
			}
			if !startsAgain {
				config.CallTimeout = plugin.DefaultCallTimeout
			}
			client, err := plugin.Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.Close() })
			const n = 300
			signInOften(t, client, "ann", n)
			hung := client.PID()
			if hung == 0 {
				t.Fatal("the plugin has died")
			}
			if !startsAgain {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := syscall.Kill(hung, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, "the plugin hangs", func() bool { return testenv.State(hung) == "T" })
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			result, err := client.Logout().End(ctx,
				&logout.Ending{OperationID: "op", SubjectID: "ann", Reason: logout.Terminated},
				time.Now().UTC())
			switch {
			case !startsAgain && !errors.Is(err, ticketstore.ErrUnavailable):
				t.Errorf("the removal answers %+v, %v; want ErrUnavailable", result, err)
			case startsAgain && (err != nil || result.SessionsRemoved != n):
				t.Errorf("the removal answers %+v, %v; want %d sessions removed by the next plugin", result,
					err, n)
			case startsAgain && client.PID() == hung:
				t.Error("the hung plugin still runs")
			}
		})
	}
}

// signInOften creates n sessions of a subject.
func signInOften(t *testing.T, client *plugin.Client, subject string, n int) {
	t.Helper()
	now := time.Now().UTC()
	var group sync.WaitGroup
	for caller := range 50 {
		group.Go(func() {
			for i := caller; i < n; i += 50 {
				sid := fmt.Sprintf("%s-%d", subject, i)
				err := client.Tickets().Create(t.Context(), &ticketstore.Session{
					Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: subject,
					Issuer:   "https://op.example",
					AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour),
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
