package integration

// An exhausted disk quota.

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A quota takes effect only at a write. The plugin whose write fails ends. The next one serves all
// acknowledged changes, refuses new ones with the reason, and accepts changes again once there is space.
func TestQuotaIsUsedUp(t *testing.T) {
	t.Parallel()
	quota := testenv.MountQuota(t, 2048, 200)
	config := patient(binary(t, "sessions-badger"), badger.Settings{
		Path: filepath.Join(quota.Path, "db"), MemoryMiB: badger.MinMemoryMiB, MinFreeMiB: 64,
	})
	temporary := t.TempDir() // where it makes a view of the store while it serves read-only
	config.Env = []string{"TMPDIR=" + temporary}
	client := openPlugin(t, config)
	now := time.Now().UTC()
	create := func() (string, error) {
		sid := rand.Text()
		ticket := make([]byte, 60<<10)
		_, _ = rand.Read(ticket) // incompressible
		return sid, client.Tickets().Create(t.Context(), &ticketstore.Session{
			Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
			AuthTime: now,
			Created:  now, Renewed: now, Expires: now.Add(time.Hour), Ticket: ticket,
		})
	}
	var acknowledged []string
	for {
		sid, err := create()
		if err != nil {
			if !errors.Is(err, ticketstore.ErrUnavailable) {
				t.Fatalf("a sign-in beyond the quota: %v, want ErrUnavailable", err)
			}
			break
		}
		if acknowledged = append(acknowledged, sid); len(acknowledged)*60 > 1<<20 {
			t.Fatal("the quota is never exhausted")
		}
	}
	holds := func() {
		t.Helper()
		for _, sid := range acknowledged {
			if _, err := client.Tickets().Find(t.Context(), sid); err != nil {
				t.Fatalf("an acknowledged session: %v", err)
			}
		}
	}
	var trouble string
	testenv.Eventually(t, "reads are served, and changes are refused with a reason", func() bool {
		_, err := client.Tickets().Find(t.Context(), acknowledged[0])
		description, whyNot := client.Describe(t.Context())
		trouble = description.Trouble
		_, refused := create()
		return err == nil && whyNot == nil && trouble != "" && errors.Is(refused, ticketstore.ErrNoSpace)
	})
	t.Logf("%d sessions, then: %s", len(acknowledged), trouble)
	holds()
	quota.Lift(t)
	testenv.Eventually(t, "changes are accepted again", func() bool {
		_, err := create()
		return err == nil
	})
	holds()
	if left, err := os.ReadDir(temporary); len(left) != 0 || err != nil {
		t.Errorf("temporary files of the plugin: %v, %v, want none", left, err)
	}
}
