package integration

// A start waits for the previous plugin to end.

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A server waits at its start while the previous server's plugin closes the database.
func TestStartWaitsForTheLastPlugin(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, "shop")
	p := startProvider(t, []map[string]any{rp.registration()}, []user{ann})
	rp.discover(t, p)
	b := newBrowser()
	login := b.signIn(t, rp, p, ann)
	p.kill()
	store := filepath.Join(p.data, "sessions")
	last := openPlugin(t, patient(binary(t, "sessions-badger"), badger.Settings{Path: store}))
	waits := func() bool { // all tests share the log
		for line := range strings.Lines(p.log.String()) {
			if strings.Contains(line, "in use by another process, waiting") && strings.Contains(line, store) {
				return true
			}
		}
		return false
	}
	ended := make(chan error, 1)
	go func() {
		for deadline := time.Now().Add(patience); !waits() && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		ended <- last.Close()
	}()
	p.start(t)
	if err := <-ended; err != nil || !waits() {
		t.Errorf("the last plugin ended with %v; the start waited for it: %t", err, waits())
	}
	if !p.active(t, rp, login.token.AccessToken) {
		t.Error("the access token is dead")
	}
}

// If another plugin keeps using the store, the start is refused after StartTimeout; the error names the
// folder and the process.
func TestStartOverAStoreInUse(t *testing.T) {
	t.Parallel()
	config := badgerConfig(t)
	owner := openPlugin(t, config)
	settings, _ := config.Settings.(badger.Settings)
	config.StartTimeout = 10 * time.Second // a third of it for the handshake, a fifth for the answer
	began := time.Now()
	second, err := plugin.Open(t.Context(), config)
	if err == nil {
		_ = second.Close()
	}
	waited := time.Since(began)
	var field *ticketstore.FieldError
	says := fmt.Sprintf("%s is in use by another process, process %d:", settings.Path, owner.PID())
	if !errors.As(err, &field) || field.Field != "path" || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want it to contain %q", err, says)
	}
	if waited < config.StartTimeout/2 || waited > config.StartTimeout+10*time.Second {
		t.Errorf("it took %s, want about %s", waited, config.StartTimeout)
	}
	if _, err := owner.Tickets().Get(t.Context(),
		ticketstore.Key{1}); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("the owner: got %v, want ErrNotFound", err)
	}
}
