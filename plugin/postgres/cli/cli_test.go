package cli_test

// The commands on a real server, beside an engine that has the store open.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres"
	"github.com/fosite-sessions/sessions/plugin/postgres/cli"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// target is a schema that flags name.
type target struct {
	settings postgres.Settings
	file     string
}

func newTarget(t *testing.T) *target {
	t.Helper()
	dsn, schema := pgserver.Shared(t).Schema(t)
	to := &target{postgres.Settings{DSN: dsn, Schema: schema}, filepath.Join(t.TempDir(), "dsn")}
	if err := os.WriteFile(to.file, []byte(dsn+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

func (to *target) open(t *testing.T) *postgres.Engine {
	t.Helper()
	e, err := postgres.Open(t.Context(), to.settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func (to *target) fill(t *testing.T, e *postgres.Engine, sessions int) {
	t.Helper()
	for i := range sessions {
		sid := fmt.Sprintf("sid-%d", i)
		err := e.Tickets().Create(t.Context(), &ticketstore.Session{
			Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
			AuthTime: now, Created: now, Renewed: now, Expires: now.Add(time.Hour), Ticket: []byte("sealed"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// run runs a command and checks its exit code and words of its output.
func (to *target) run(t *testing.T, code int, args []string, says ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append(args, "-dsn-file", to.file, "-schema", to.settings.Schema)
	got := cli.Run(t.Context(), cli.Env{
		Name: "sessions-postgres", Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
	})
	all := out.String() + errs.String()
	if got != code {
		t.Errorf("%q: code %d, want %d:\n%s", args, got, code, all)
	}
	for _, word := range says {
		if !strings.Contains(all, word) {
			t.Errorf("%q: no %q in\n%s", args, word, all)
		}
	}
	return out.String()
}

func TestCommands(t *testing.T) {
	t.Parallel()
	store := newTarget(t)
	store.run(t, cli.Failed, []string{"check"}, "there is no store", "migrate")
	store.run(t, cli.Done, []string{"migrate"},
		fmt.Sprintf("had format 0 and has format %d now", postgres.About().Format))
	store.run(t, cli.Done, []string{"migrate"}, "the newest")
	e := store.open(t)
	store.fill(t, e, 20)

	// The store is in use.
	store.run(t, cli.Done, []string{"check"}, "20 records", "nothing wrong")
	store.run(t, cli.Done, []string{"stats"}, "sessions      20", "hosts", "KiB sessions")
	var stats struct {
		Records map[string]int64
		Hosts   []struct{ Version string }
	}
	figures := store.run(t, cli.Done, []string{"stats", "-json"})
	if err := json.Unmarshal([]byte(figures), &stats); err != nil ||
		stats.Records["sessions"] != 20 ||
		len(stats.Hosts) != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	backup := filepath.Join(t.TempDir(), "backup")
	store.run(t, cli.Done, []string{"export", backup}, "20 sessions", "20 records")
	store.run(t, cli.Failed, []string{"export", backup}, "exists: give -force")
	store.run(t, cli.Failed, []string{"import", backup}, "is not empty", "an empty schema")

	other := newTarget(t)
	other.run(t, cli.Done, []string{"import", backup}, "20 sessions", "Its id is")
	other.run(t, cli.Done, []string{"check"}, "20 records", "nothing wrong")
	restored := other.open(t)
	if _, err := restored.Tickets().Get(t.Context(), ticketstore.KeyOf("sid-7")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(backup, []byte("not a backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	newTarget(t).run(t, cli.Failed, []string{"import", backup}, "backup")
}

func TestCheckOfADamagedStore(t *testing.T) {
	t.Parallel()
	store := newTarget(t)
	store.fill(t, store.open(t), 3)
	pgserver.Shared(t).
		Exec(t, "UPDATE "+store.settings.Schema+".sessions SET ticket = 'other' WHERE sid = 'sid-1'")
	store.run(t, cli.Findings, []string{"check"}, "slots, sessions", "1 findings")
}

// The owner's migration grants a role the privileges that hosts need.
func TestRuntimeRole(t *testing.T) {
	t.Parallel()
	server, store := pgserver.Shared(t), newTarget(t)
	role := server.Role(t, "s3cret")
	store.run(t, cli.Failed, []string{"migrate", "-runtime-role", "nobody_here"},
		"runtime_role names", `role "nobody_here" does not exist`)
	store.run(t, cli.Done, []string{"migrate", "-runtime-role", role})
	store.settings.DSN = server.Loopback(role, "s3cret")
	store.fill(t, store.open(t), 1)
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	store := newTarget(t)
	store.run(t, cli.Failed, []string{"check", "postgres://ann:s3cret@db"}, "flags name the store")
	store.run(t, cli.Failed, []string{"dance"}, "there is no command")
	store.run(t, cli.Done, []string{"help"}, "a PostgreSQL database", "-dsn-file", postgres.DSNEnv)
	var errs bytes.Buffer
	code := cli.Run(t.Context(), cli.Env{
		Name: "x", Args: []string{"check"}, Stdin: strings.NewReader(""), Stdout: &errs, Stderr: &errs,
	})
	if code != cli.Failed || !strings.Contains(errs.String(), "name the database") {
		t.Errorf("%d: %s", code, errs.String())
	}
}
