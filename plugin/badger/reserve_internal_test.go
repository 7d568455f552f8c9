//go:build linux

package badger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// With few inodes left, sign-ins are refused, ends use the reserve, and a start serves reads and reports the
// reason. After files are removed, everything works.
func TestNoInodes(t *testing.T) {
	t.Parallel()
	mount := testenv.FewInodes(t, 400)
	path := filepath.Join(mount, "db")
	noSync := false
	settings := Settings{Path: path, Sync: &noSync, MinFreeMiB: 64, MemoryMiB: 64}
	e, err := Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if e != nil {
			_ = e.Close()
		}
	}()
	for _, sid := range []string{"first", "second", "third"} {
		signIn(t, e, sid, "ann")
	}
	create := func(e *Engine) error { return e.Tickets().Create(t.Context(), anHour("meanwhile", "ann")) }
	end := func(e *Engine, sid string) error {
		_, err := e.Logout().End(t.Context(), &logout.Ending{OperationID: "end " + sid, SessionID: sid,
			Reason: logout.Terminated}, base)
		return err
	}
	others := testenv.UseInodes(t, mount, disk.LeastInodes)
	if err := create(e); !errors.Is(err, ticketstore.ErrNoSpace) || !strings.Contains(err.Error(),
		"more files") {
		t.Errorf("a sign-in: %v, want ErrNoSpace with the reason", err)
	}
	if d, err := e.Describe(t.Context()); err != nil || !strings.Contains(d.Trouble, "more files") {
		t.Errorf("Describe: %v, trouble %q", err, d.Trouble)
	}
	if err := end(e, "first"); err != nil {
		t.Errorf("an end: %v", err)
	}
	testenv.UseInodes(t, mount, 0)
	if err := end(e, "second"); err != nil {
		t.Errorf("an end from the reserve: %v", err)
	}
	if free, err := disk.FreeInodes(mount); err != nil || free < disk.ReserveInodes {
		t.Errorf("%d files can be created, %v, want those of the reserve", free, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	testenv.UseInodes(t, mount, 0)
	e, err = Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("a start without inodes: %v, want none", err)
	}
	if _, err := e.Tickets().Find(t.Context(), "third"); err != nil {
		t.Errorf("a session: %v", err)
	}
	if err := create(e); !errors.Is(err, ticketstore.ErrNoSpace) {
		t.Errorf("a sign-in: %v, want ErrNoSpace", err)
	}
	if d, err := e.Describe(t.Context()); err != nil || !strings.Contains(d.Trouble,
		"no room") || d.StoreID == "" {
		t.Errorf("Describe: %v, %+v", err, d)
	}
	if err := os.RemoveAll(others); err != nil {
		t.Fatal(err)
	}
	select {
	case <-e.Failed():
	case <-time.After(time.Minute):
		t.Fatal("the engine does not detect the free inodes")
	}
	_ = e.Close()
	e, err = Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := create(e); err != nil {
		t.Errorf("a sign-in with free inodes: %v", err)
	}
}

// limitEnv makes the test below a process with a limit, and names its store.
const limitEnv = "SESSIONS_TEST_LIMIT"

// A limit of the process is detected before it is reached: reads are served, and changes are refused with the
// name of the limit.
func TestLimitsOfTheProcess(t *testing.T) {
	if path := os.Getenv(limitEnv); path != "" {
		e := openWith(t, path, 64)
		if _, err := e.Tickets().Find(t.Context(), "sid"); err != nil {
			t.Error(err)
		}
		err := e.Tickets().Create(t.Context(), anHour("other", "ann"))
		if !errors.Is(err, ticketstore.ErrNoSpace) {
			t.Errorf("%v, want ErrNoSpace", err)
		}
		fmt.Println(err)
		return
	}
	path := t.TempDir()
	e := openWith(t, path, 64)
	signIn(t, e, "sid", "ann")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for name, ulimit := range map[string]string{"RLIMIT_FSIZE": "ulimit -f 10000",
		"RLIMIT_NOFILE": "ulimit -n 100"} {
		script := ulimit + `; exec "$0" -test.run=^TestLimitsOfTheProcess$ -test.count=1`
		process := exec.CommandContext(t.Context(), "/bin/sh", "-c", script, os.Args[0])
		process.Env = append(os.Environ(), limitEnv+"="+path)
		said, err := process.CombinedOutput()
		if err != nil || !strings.Contains(string(said), name) {
			t.Errorf("%s: %v, want the limit %s in\n%s", ulimit, err, name, said)
		}
	}
}
