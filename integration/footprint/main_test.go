//go:build linux

package footprint

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// taskEnv makes the test binary a host with a task.
	taskEnv = "FOOTPRINT_TASK"
	// pluginEnv names a different build of the plugin, for comparison.
	pluginEnv = "FOOTPRINT_PLUGIN"

	badgerPlugin, postgresPlugin = "sessions-badger", "sessions-postgres"
)

// task describes the work of a host.
type task struct {
	Plugin   string
	Settings map[string]any
	// Sessions are created by Callers concurrent callers, each with a ticket of Ticket bytes. If they already
	// exist, Filled, they are read and ended.
	Sessions, Callers, Ticket int
	Filled                    bool
}

// built is the folder of the plugins.
var built string

func TestMain(m *testing.M) {
	if text := os.Getenv(taskEnv); text != "" {
		if err := runTask(text); err != nil {
			fmt.Fprintln(os.Stderr, "host:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "fosite-sessions-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	built = folder
	build := exec.Command("go", "build", "-C", "../../plugin/cmd", "-o", folder, "./"+badgerPlugin,
		"./"+postgresPlugin)
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the plugins: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// runTask waits for a line on standard input, while the process is moved to its cgroup. It prints its
// plugin's process id, then its success, and waits to be killed.
func runTask(text string) error {
	var todo task
	if err := json.Unmarshal([]byte(text), &todo); err != nil {
		return err
	}
	input := bufio.NewReader(os.Stdin)
	if _, err := input.ReadString('\n'); err != nil {
		return err
	}
	ctx := context.Background()
	backend, err := plugin.Open(ctx, plugin.Config{
		Path: todo.Plugin, Settings: todo.Settings, StartTimeout: time.Minute, CallTimeout: 30 * time.Second,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	fmt.Println("plugin", backend.PID())
	w := &work{task: todo, backend: backend, start: time.Now().UTC().Truncate(time.Second)}
	if todo.Filled {
		err = w.lookAndEnd(ctx)
	} else {
		err = w.signIn(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Println("done", backend.PID())
	_, _ = input.ReadString('\n')
	return backend.Close()
}

type work struct {
	task
	backend *plugin.Client
	start   time.Time
	signed  atomic.Int64
}

// each calls f for every session, from Callers goroutines.
func (w *work) each(f func(i int) error) error {
	var next atomic.Int64
	errs := make(chan error, w.Callers)
	var group sync.WaitGroup
	for range w.Callers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < w.Sessions; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					errs <- fmt.Errorf("session %d: %w", i, err)
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

func sid(i int) string { return fmt.Sprintf("sid-%d", i) }

// signIn signs users in at a client while operators read listings.
func (w *work) signIn(ctx context.Context) error {
	looking, stop := context.WithCancel(ctx)
	defer stop()
	looked := make(chan error, 1)
	go func() { looked <- w.look(looking) }()
	err := w.each(func(i int) error {
		created := w.start.Add(time.Duration(i) * time.Millisecond)
		err := w.backend.Tickets().Create(ctx, &ticketstore.Session{
			Key: ticketstore.KeyOf(sid(i)), SessionID: sid(i), SubjectID: fmt.Sprintf("subject-%d", i),
			DisplayName: "Ann Example",
			Issuer:      "https://op.example", AuthTime: created, Created: created, Renewed: created,
			Expires:    w.start.AddDate(0, 0, 30),
			RemoteAddr: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Ticket: noise(i, w.Ticket),
		})
		if err != nil {
			return err
		}
		w.signed.Store(int64(i))
		_, err = w.backend.Grants().Apply(ctx, &grantstore.Batch{
			OperationID: "use-" + sid(i),
			Use:         &grantstore.Use{SessionID: sid(i), ClientID: "app", Notify: true},
			Store: []grantstore.Grant{{
				Ref:       grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(sid(i))},
				RequestID: sid(i), SessionID: sid(i),
				SubjectID: fmt.Sprintf("subject-%d", i), ClientID: "app", Created: created,
				Expires: created.AddDate(0, 0, 1), Data: noise(i, 800),
			}},
		}, created)
		return err
	})
	stop()
	return errors.Join(err, <-looked)
}

func (w *work) look(ctx context.Context) error {
	for ctx.Err() == nil {
		i := int(w.signed.Load())
		_, err := w.backend.Tickets().Query(ctx, ticketstore.SessionQuery{Count: 100})
		if err == nil {
			_, err = w.backend.Grants().Get(ctx,
				grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(sid(i / 2))}, w.start)
			if errors.Is(err, ticketstore.ErrNotFound) {
				err = nil // it is being created
			}
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// noise returns bytes that are as incompressible as a sealed ticket.
func noise(seed, size int) []byte {
	b, x := make([]byte, size), uint64(seed)*2654435761+88172645463325252
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// lookAndEnd reads every session, walks the listing, ends all and checks that none is left.
func (w *work) lookAndEnd(ctx context.Context) error {
	err := w.each(func(i int) error {
		session, err := w.backend.Tickets().Get(ctx, ticketstore.KeyOf(sid(i)))
		if err == nil && (session.SessionID != sid(i) || len(session.Ticket) != w.Ticket) {
			err = errors.New("a different session")
		}
		return err
	})
	if err != nil {
		return err
	}
	if seen, err := w.listed(ctx); err != nil || seen != w.Sessions {
		return fmt.Errorf("%d sessions are listed, want %d: %w", seen, w.Sessions, err)
	}
	result, err := w.backend.Logout().End(ctx,
		&logout.Ending{OperationID: "all", All: true, Reason: logout.Terminated}, time.Now().UTC())
	if err != nil {
		return err
	}
	for done := false; !done; time.Sleep(100 * time.Millisecond) {
		job, err := w.backend.Logout().Job(ctx, result.JobID)
		if err != nil {
			return err
		}
		if done = job.State == logout.JobDone; done && job.Result.SessionsRemoved != w.Sessions {
			return fmt.Errorf("%d sessions were ended, want %d", job.Result.SessionsRemoved, w.Sessions)
		}
	}
	if seen, err := w.listed(ctx); err != nil || seen != 0 {
		return fmt.Errorf("%d sessions are listed after all were ended: %w", seen, err)
	}
	return nil
}

func (w *work) listed(ctx context.Context) (seen int, err error) {
	query := ticketstore.SessionQuery{Count: ticketstore.MaxCount}
	for {
		page, err := w.backend.Tickets().Query(ctx, query)
		if err != nil {
			return seen, err
		}
		seen += len(page.Sessions)
		if !page.HasNext {
			return seen, nil
		}
		query = ticketstore.SessionQuery{Count: ticketstore.MaxCount, ResultsToken: page.ResultsToken}
	}
}
