//go:build linux

package badger_test

// Failed writes, syncs and starts.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// failingEnv makes the test binary a process that uses the database in that folder until its disk fails.
const failingEnv = "SESSIONS_FAILING_DISK"

// startEnv makes such a process only start, work a little, and exit.
const startEnv = "SESSIONS_FAILING_START"

func TestMain(m *testing.M) {
	if path := os.Getenv(failingEnv); path != "" {
		switch file := os.Getenv(importEnv); {
		case os.Getenv(startEnv) != "":
			startAndEnd(path)
		case file != "":
			importUntilFailure(path, file)
		default:
			workUntilFailure(path)
		}
		return
	}
	os.Exit(m.Run())
}

// After a failed write the engine serves nothing. Reopened, the database is consistent and has everything
// that was acknowledged or read before; the failed change was applied as a whole or not at all.
func TestFailedWriteIsFinal(t *testing.T) {
	t.Parallel()
	t.Run("a sync fails once", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "store")
		said := failDisk(t, path, func(pid int) {
			failing, err := testenv.FailSync(t, pid)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(failing.Stop)
		})
		if !said.ended {
			t.Errorf("the process did not exit as expected:\n%s", said.text)
		}
		said.verify(t, path)
	})
	t.Run("the file system turns read-only", func(t *testing.T) {
		t.Parallel()
		disk := testenv.Mount(t, 256)
		path := filepath.Join(disk.Path, "store")
		said := failDisk(t, path, func(int) {
			if err := disk.Fail(); err != nil {
				t.Error(err)
			}
		})
		// Writing to a mapped page of such a file system may kill the process.
		if !said.ended && !strings.Contains(said.text, "fatal error: fault") {
			t.Errorf("the process did not exit as expected:\n%s", said.text)
		}
		_, err := badger.Open(t.Context(), badger.Settings{Path: path, MinFreeMiB: 1}, nil)
		if err == nil || !strings.Contains(err.Error(), "the file system at "+path+" is read-only") {
			t.Errorf("open on the read-only file system: %v, want it named", err)
		}
		testenv.Eventually(t, "the file system is repaired", func() bool { return disk.Mend() == nil })
		said.verify(t, path)
	})
}

// Acknowledged changes survive a power loss.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	disk, folder := testenv.Mount(t, 256), t.TempDir()
	var after *testenv.Disk
	said := failDisk(t, filepath.Join(disk.Path, "store"), func(pid int) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		var err error
		if after, err = disk.AfterPowerLoss(folder); err != nil {
			t.Error(err)
		}
	})
	if after == nil {
		t.FailNow()
	}
	defer func() { _ = after.Unmount() }()
	said.verify(t, filepath.Join(after.Path, "store"))
}

// A start in which any one sync fails loses nothing, whether it completes or not.
func TestStartWithFailedSync(t *testing.T) {
	testenv.SkipRace(t, "the work is done by another process")
	t.Parallel()
	for nth := range 8 {
		t.Run(fmt.Sprint(nth+1), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "store")
			for _, state := range []string{"a new database", "one that is there"} {
				command := testenv.WithFailingSync(t, nth+1, os.Args[0])
				command.Env = append(os.Environ(), failingEnv+"="+path, startEnv+"=yes")
				stdout, _ := command.Output() // it may fail
				said := &diskReport{}
				for line := range strings.Lines(string(stdout)) {
					if sid, is := strings.CutPrefix(strings.TrimSpace(line), "acknowledged "); is {
						said.acknowledged = append(said.acknowledged, sid)
					}
				}
				t.Logf("%s: %d sign-ins were acknowledged", state, len(said.acknowledged))
				said.verify(t, path)
			}
		})
	}
}

// startAndEnd opens a database, signs some users in and closes it.
func startAndEnd(path string) {
	e, err := badger.Open(context.Background(), badger.Settings{Path: path, MinFreeMiB: 1}, nil)
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	for i := range 5 {
		s := session(fmt.Sprintf("sid-%d-%d", os.Getpid(), i))
		if err := e.Tickets().Create(context.Background(), s); err == nil {
			fmt.Println("acknowledged", s.SessionID)
		}
	}
	fmt.Println("close:", e.Close())
}

// workers is the number of concurrent sign-ins.
const workers = 8

// diskReport is the output of a process whose disk failed.
type diskReport struct {
	acknowledged, seen []string
	text               string
	ended              bool
}

// failDisk runs a process on a new database and makes its disk fail.
func failDisk(t *testing.T, path string, fail func(pid int), env ...string) *diskReport {
	t.Helper()
	process := testenv.Start(t, testenv.Self(t, "", append(env, failingEnv+"="+path)...))
	limit := time.AfterFunc(testenv.Patience, process.Kill)
	defer limit.Stop()
	said := &diskReport{}
	var failing sync.WaitGroup
	for line := range process.Lines() {
		what, sid, _ := strings.Cut(line, " ")
		switch what {
		case "acknowledged":
			said.acknowledged = append(said.acknowledged, sid)
			if len(said.acknowledged) == 200 {
				failing.Go(func() { fail(process.Process.Pid) })
			}
		case "seen":
			said.seen = append(said.seen, sid)
		case "ended":
			said.ended = true
		default:
			t.Errorf("the process says: %s", line)
		}
	}
	failing.Wait()
	<-process.Ended()
	said.text = process.Log.String()
	t.Logf("%d sign-ins were acknowledged, %d seen before or after", len(said.acknowledged), len(said.seen))
	if len(said.acknowledged) < 200 {
		t.Fatalf("the process ended before its disk failed:\n%s", said.text)
	}
	return said
}

// verify opens the database and compares it with the report.
func (said *diskReport) verify(t *testing.T, path string) {
	t.Helper()
	// The system may take a moment to release the files of an ended process, for which Open waits.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := badger.Open(ctx, badger.Settings{Path: path, MinFreeMiB: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for what, sids := range map[string][]string{"acknowledged": said.acknowledged,
		"read": said.seen} {
		lost := 0
		for _, sid := range sids {
			if _, err := e.Tickets().Find(t.Context(), sid); err != nil {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d sign-ins that were %s are lost", lost, len(sids), what)
		}
	}
	consistent(t, e)
	if err := create(t, e, fmt.Sprintf("afterwards-%d",
		len(said.acknowledged))); err != nil && !errors.Is(err, ticketstore.ErrExists) {
		t.Errorf("sign in afterwards: %v", err)
	}
}

// workUntilFailure signs users in concurrently, and reads sessions whose sign-in is not acknowledged yet,
// until the first failure. It checks that nothing is served from then on, and prints what happened, one line
// each.
func workUntilFailure(path string) {
	var mutex sync.Mutex
	say := func(format string, args ...any) {
		mutex.Lock()
		defer mutex.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	ctx := context.Background()
	e, err := badger.Open(ctx, badger.Settings{Path: path, MinFreeMiB: 1},
		slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		say("open: %v", err)
		return
	}
	var working sync.WaitGroup
	for worker := range workers {
		working.Go(func() {
			for i := 0; ; i++ {
				s := session(fmt.Sprintf("sid-%d-%d", worker, i))
				looked := make(chan struct{})
				go func() {
					defer close(looked)
					for range 20 {
						switch _, err := e.Tickets().Get(ctx, s.Key); {
						case err == nil:
							say("seen %s", s.SessionID)
							return
						case !errors.Is(err, ticketstore.ErrNotFound):
							return
						}
					}
				}()
				err := e.Tickets().Create(ctx, s)
				<-looked
				if err == nil {
					say("acknowledged %s", s.SessionID)
					continue
				}
				if !errors.Is(err, ticketstore.ErrUnavailable) {
					say("sign in: %v", err)
				}
				return
			}
		})
	}
	working.Wait()
	servesNothing(ctx, e, say)
	start := time.Now()
	err = e.Close()
	if took := time.Since(start); err == nil || took > 2*time.Second {
		say("close after %s: %v", took, err)
	}
	say("ended")
}

// servesNothing checks that a failed engine answers nothing, with the reason.
func servesNothing(ctx context.Context, e *badger.Engine, say func(format string, args ...any)) {
	select {
	case <-e.Failed():
	default:
		say("the engine has not failed")
	}
	s := session("sid-0-0")
	for name, call := range map[string]func() error{
		"get":    func() error { _, err := e.Tickets().Get(ctx, s.Key); return err },
		"find":   func() error { _, err := e.Tickets().Find(ctx, s.SessionID); return err },
		"query":  func() error { _, err := e.Tickets().Query(ctx, ticketstore.SessionQuery{}); return err },
		"create": func() error { return e.Tickets().Create(ctx, s) },
		"grants": func() error { _, err := e.Grants().Query(ctx, grantstore.Query{}, now); return err },
		"notices": func() error {
			_, err := e.Logout().Notifications(ctx, logout.NotificationQuery{})
			return err
		},
		"describe": func() error { _, err := e.Describe(ctx); return err },
		"status":   func() error { _, err := e.Transfer().Status(ctx); return err },
		"failure":  func() error { return e.Failure() },
		"end": func() error {
			_, err := e.Logout().End(ctx, &logout.Ending{OperationID: strings.Repeat("e", 32),
				SessionID: s.SessionID, Reason: logout.Terminated}, now)
			return err
		},
	} {
		if err := call(); !errors.Is(err, ticketstore.ErrUnavailable) || !strings.Contains(err.Error(),
			"the database has failed") {
			say("%s: %v, want that the database has failed", name, err)
		}
	}
}
