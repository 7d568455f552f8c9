package hostadapter_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// unwritten is not reported.
type unwritten struct{ t *testing.T }

func (u unwritten) Write([]byte) (int, error) {
	u.t.Error("a backup that cannot be taken was begun")
	return 0, errors.New("unwanted")
}

// stalled is a client that reads the first bytes and then blocks until it is released.
type stalled struct {
	begun chan struct{}
	goOn  chan struct{}
	taken bytes.Buffer
}

func newStalled() *stalled { return &stalled{begun: make(chan struct{}), goOn: make(chan struct{})} }

// begins waits until a backup has begun; a refused one never does.
func (s *stalled) begins(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case <-s.begun:
	case err := <-ended:
		t.Fatalf("a backup ended at once: %v", err)
	}
}

func (s *stalled) Write(data []byte) (int, error) {
	if s.taken.Len() == 0 {
		close(s.begun)
	}
	<-s.goOn
	return s.taken.Write(data)
}

// restored restores a backup into a store.
func restored(t *testing.T, file []byte) *badger.Engine {
	t.Helper()
	e, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	r, err := backup.NewReader(bytes.NewReader(file))
	if err == nil {
		err = backup.Restore(t.Context(), e.Transfer(), r, "restore", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestBackupIsOneMomentWhileUsersWork(t *testing.T) {
	t.Parallel()
	h := newHost(t, swappable(t, "old", "new"))
	first := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	client := newStalled()
	ended := make(chan error, 1)
	go func() { ended <- h.Operations().Backup(t.Context(), client) }()
	client.begins(t, ended)
	if err := h.Operations().Backup(t.Context(), unwritten{t}); !errors.Is(err, hostadapter.ErrBackup) {
		t.Errorf("a second backup: %v, want ErrBackup", err)
	}
	if _, err := h.Operations().Swap(t.Context(), "new"); !errors.Is(err, hostadapter.ErrSwap) {
		t.Errorf("a swap meanwhile: %v, want ErrSwap", err)
	}
	close(client.goOn)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	after := h.browser().signIn(hostadapter.Identity{Subject: "bob"})
	e := restored(t, client.taken.Bytes())
	if _, err := e.Tickets().Find(t.Context(), first.SessionID); err != nil {
		t.Errorf("a session from before the backup: %v", err)
	}
	if _, err := e.Tickets().Find(t.Context(), after.SessionID); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("a session from after it: %v", err)
	}
	if state := h.swap("new"); state.Err != nil {
		t.Errorf("a swap after a backup: %v", state.Err)
	}
	if err := h.Operations().Backup(t.Context(), io.Discard); err != nil {
		t.Errorf("a backup after a swap: %v", err)
	}
}

// If a client disconnects its backup ends, and the store keeps no state of it.
func TestBackupEndsWithItsClient(t *testing.T) {
	t.Parallel()
	h := newHost(t, swappable(t, "old"))
	h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	mover := func() *transfer.Status {
		t.Helper()
		store, ok := h.Serving().(interface{ Transfer() transfer.Store })
		if !ok {
			t.Fatal("the backend does not move")
		}
		status, err := store.Transfer().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	ctx, leave := context.WithCancel(t.Context())
	client := newStalled()
	ended := make(chan error, 1)
	go func() { ended <- h.Operations().Backup(ctx, client) }()
	client.begins(t, ended)
	leave()
	close(client.goOn)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the backup ended with %v, want context.Canceled", err)
	}
	if status := mover(); status.State != transfer.Active || status.Journaled != 0 {
		t.Errorf("the store is left as %+v", status)
	}
	r, err := backup.NewReader(bytes.NewReader(client.taken.Bytes()))
	if err == nil {
		for _, err = range r.Batches(t.Context()) {
		}
	}
	if !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("what the client has: %v, want that it is cut short", err)
	}
	if err := h.Operations().Backup(t.Context(), io.Discard); err != nil {
		t.Errorf("the next backup: %v", err)
	}
}

func TestCloseEndsABackup(t *testing.T) {
	t.Parallel()
	h := newHost(t, swappable(t, "old"))
	client := newStalled()
	ended := make(chan error, 1)
	go func() { ended <- h.Operations().Backup(t.Context(), client) }()
	client.begins(t, ended)
	goOn := sync.OnceFunc(func() { close(client.goOn) })
	t.Cleanup(goOn) // or Close waits on
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	testenv.Eventually(t, "the adapter closes", func() bool {
		return errors.Is(h.Operations().Backup(t.Context(), io.Discard), ticketstore.ErrUnavailable)
	})
	goOn()
	if err := <-ended; err == nil {
		t.Error("the backup was finished")
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestBackupOfABackendThatHasNone(t *testing.T) {
	t.Parallel()
	// without a Transfer
	h := newHost(t, func(c *hostadapter.Config) { c.Backend = struct{ sessions.Backend }{c.Backend} })
	if err := h.Operations().Backup(t.Context(), unwritten{t}); !errors.Is(err, hostadapter.ErrBackup) {
		t.Errorf("backup: %v, want ErrBackup", err)
	}
}
