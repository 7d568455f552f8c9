package integration

// A backup of a serving store, and its restore.

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// backUp takes a backup of the live store into a file.
func (p *provider) backUp(ctx context.Context, t *testing.T, file string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.issuer+"/admin/backend/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.adminToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the backup answered %d, error %v", response.StatusCode, err)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	// It must contain no token, cookie or password.
	_, _ = watched.log().Write(body)
}

// runCLI runs sessions-badger and returns its exit code and output.
func runCLI(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), binary(t, "sessions-badger"), args...).CombinedOutput()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return exited.ExitCode(), string(output)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(output)
}

func mustByHand(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	if got, said := runCLI(t, args...); got != code || !strings.Contains(said, says) {
		t.Errorf("sessions-badger %s: exit code %d, want %d and %q; output:\n%s", strings.Join(args, " "),
			got, code, says, said)
	}
}

// A backup taken under load becomes the store of the next start: signed-in users stay signed in.
func TestBackupOfALiveStoreIsRestored(t *testing.T) {
	t.Parallel()
	s := newSwapper(t, 4, 0)
	file, store := filepath.Join(t.TempDir(), "sessions.backup"), filepath.Join(s.data, "sessions")
	stop := make(chan struct{})
	var requests atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 { // the others are idle
		wg.Go(func() {
			for !t.Failed() {
				select {
				case <-stop:
					return
				default:
				}
				if !s.refreshLogin(t, i) {
					return
				}
				requests.Add(1)
			}
		})
	}
	testenv.Eventually(t, "there is load", func() bool { return requests.Load() > 20 || t.Failed() })
	s.backUp(t.Context(), t, file)
	mustByHand(t, 2, "in use by another process", "check", store)
	after := requests.Load()
	testenv.Eventually(t, "the load continues", func() bool {
		return requests.Load() > after+20 || t.Failed()
	})
	close(stop)
	wg.Wait()
	s.remove(t, map[string]any{"subject_id": s.users[3].Subject})

	s.kill()
	// The store after the crash, once the kernel has finished the process's last sync.
	testenv.Eventually(t, "a check of the store after the crash", func() bool {
		code, said := runCLI(t, "check", store)
		if strings.Contains(said, "in use by another process") {
			t.Logf("the lock is still held: %s", said)
			return false
		}
		if code != 0 || !strings.Contains(said, "nothing wrong") {
			t.Fatalf("check: exit code %d, output:\n%s", code, said)
		}
		return true
	})
	if err := os.Rename(store, store+"-lost"); err != nil {
		t.Fatal(err)
	}
	code, said := runCLI(t, "import", store, file)
	told := regexp.MustCompile(`Its id is (\w+)`).FindStringSubmatch(said)
	if code != 0 || !strings.Contains(said, "4 sessions") || told == nil {
		t.Fatalf("import: exit code %d, want 0, 4 sessions and an id; output:\n%s", code, said)
	}
	mustByHand(t, 0, "nothing wrong", "check", store)
	// The restored store has a new id, which the server does not know yet.
	refusal := s.mustRefuse(t)
	if accept := "-accept-store " + told[1]; !strings.Contains(refusal, s.pinnedID(t)) ||
		!strings.Contains(refusal, accept) {
		t.Errorf("the refusal does not name %s and %s:\n%s", s.pinnedID(t), accept, refusal)
	}
	s.flags = append(s.flags, "-accept-store", told[1])
	s.start(t)
	if n := len(s.sessions(t, url.Values{})); n != 4 {
		t.Errorf("%d sessions, want the 4 of the backup", n)
	}
	for _, rested := range s.logins[2:] {
		if !s.active(t, s.rp, rested.token.AccessToken) {
			t.Error("an access token from before the backup is dead")
		}
		if status, answer := s.refresh(t, s.rp, rested.token.RefreshToken); status != http.StatusOK {
			t.Errorf("a refresh token from before the backup answered %d %v", status, answer)
		}
	}
	if s.pinnedID(t) != told[1] {
		t.Errorf("pinned is %s, want the restored store, %s", s.pinnedID(t), told[1])
	}
	s.kill()
	s.flags = nil // once is enough
	s.start(t)
}
