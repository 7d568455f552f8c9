//go:build linux

package postgres

// Failures of a server while the store is in use: calls wait for transient ones, others are reported.

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func signIn(ctx context.Context, e *Engine, sid string, ticket []byte) error {
	return e.Tickets().Create(ctx, &ticketstore.Session{
		Key: ticketstore.KeyOf(
			sid,
		), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example", AuthTime: noon,
		Created: noon, Renewed: noon, Expires: noon.Add(time.Hour), Ticket: ticket,
	})
}

// With a full disk of the server sign-ins are refused with the reason, and reads are served. With free space
// everything works.
func TestServerDiskFull(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	folder := filepath.Join(server.Folder(), "small")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	testenv.Tmpfs(t, folder, 0, "size=8m")
	owner, err := os.Stat(server.Folder())
	if err != nil {
		t.Fatal(err)
	}
	who := owner.Sys().(*syscall.Stat_t)
	if err := os.Chown(folder, int(who.Uid), int(who.Gid)); err != nil {
		t.Fatal(err)
	}
	dsn, name := server.Schema(t)
	server.Exec(t, fmt.Sprintf("CREATE TABLESPACE small LOCATION '%s'", folder))
	e := openStore(t, Settings{DSN: dsn + " options='-c default_tablespace=small'", Schema: name})
	ticket := make([]byte, ticketstore.MaxTicket)
	signedIn := 0
	for err = nil; err == nil && signedIn < 1000; signedIn++ {
		_, _ = rand.Read(ticket) // incompressible
		err = signIn(t.Context(), e, fmt.Sprint("sid-", signedIn), bytes.Clone(ticket))
	}
	if !errors.Is(err, ticketstore.ErrNoSpace) || signedIn < 2 {
		t.Fatalf("sign-in %d: %v, want ErrNoSpace", signedIn, err)
	}
	if _, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf("sid-0")); err != nil {
		t.Errorf("a read: %v", err)
	}
	testenv.Resize(t, folder, "size=64m")
	if err := signIn(t.Context(), e, "again", ticket); err != nil {
		t.Errorf("with free space: %v", err)
	}
}

// While a server does not answer, the log and the errors name its address, for an open store and during an
// open.
func TestUnreachableServerIsNamed(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, name := server.Schema(t)
	settings := Settings{DSN: dsn, Schema: name}
	config, err := settings.config()
	if err != nil {
		t.Fatal(err)
	}
	at, log := place(config.ConnConfig), &testenv.Log{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	e, err := Open(t.Context(), settings, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	server.Stop()
	testenv.Eventually(t, "the error names the server", func() bool {
		_, err = e.Describe(t.Context())
		return errors.Is(err, ticketstore.ErrUnavailable) &&
			strings.Contains(err.Error(), "no PostgreSQL answers at "+at)
	})
	says := func(text string) {
		t.Helper()
		testenv.Eventually(t, "the log contains "+text,
			func() bool { return strings.Contains(log.String(), text) })
	}
	says("the database failed\" at=" + at)
	says("the database does not accept this host's beat\" at=" + at)
	opening, cancel := context.WithCancel(t.Context())
	opened := make(chan error, 1)
	go func() {
		_, err := Open(opening, settings, logger)
		opened <- err
	}()
	says("waiting for the database\" at=" + at)
	cancel()
	if err := <-opened; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), at) {
		t.Errorf("a cancelled open: %v", err)
	}
	server.Begin(t)
	says("the database accepts this host's beat again")
	if strings.Contains(log.String(), "this host may not use the store") {
		t.Errorf("the log names the host as the cause:\n%s", log)
	}
}

// A statement that the server aborts is retried while the caller waits.
func TestStatementTimeoutUnderLoad(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	dsn, name := server.Schema(t)
	openStore(t, Settings{DSN: dsn, Schema: name}) // creates the tables
	e := openStore(t, Settings{DSN: dsn + " statement_timeout=200", Schema: name})
	conn, err := e.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	for _, statement := range []string{"BEGIN", "LOCK TABLE {s}.sessions"} {
		if _, err := conn.Exec(t.Context(), e.sql(statement)); err != nil {
			t.Fatal(err)
		}
	}
	brief, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = e.Tickets().Get(brief, ticketstore.KeyOf("x"))
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a blocked read: %v, want ErrUnavailable", err)
	}
	done := make(chan error, 1)
	go func() { done <- signIn(t.Context(), e, "sid", []byte("sealed")) }()
	testenv.Eventually(t, "the sign-in waits for the lock", func() bool {
		var waiting int
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND query LIKE '%'||$1||'%'`, name).Scan(&waiting)
		return err == nil && waiting > 0
	})
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a sign-in that waited: %v", err)
	}
}

// Behind a pooler in transaction mode nothing is prepared, and connections keep no state.
func TestBehindAPooler(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, name := server.Schema(t)
	pooled := Settings{DSN: server.Pooler(t), Schema: name, Pooler: true}
	refused(t, pooled, nil, "there is no store", "migrate")
	mustOpen(t, Settings{DSN: dsn, Schema: name})
	e, other := openStore(t, pooled), openStore(t, pooled)
	fill(t, e, 10)
	report := checked(t, other, CheckConfig{})
	if len(report.Findings) > 0 || report.Records == 0 {
		t.Errorf("%+v", report)
	}
	for batch, err := range other.Transfer().Export(t.Context(), nil) {
		if err != nil || len(batch.Records) == 0 {
			t.Errorf("an export: %v", err)
		}
	}
}

// An engine reports a hung server before the host considers the plugin hung.
func TestHungServerIsReported(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, name := server.Schema(t)
	e := openStore(t, Settings{DSN: dsn, Schema: name})
	server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := e.Describe(ctx); !errors.Is(err, ticketstore.ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("Describe: %v, want ErrUnavailable before its deadline (%v)", err, ctx.Err())
	}
	server.Continue()
	testenv.Eventually(t, "Describe succeeds", func() bool {
		_, err := e.Describe(t.Context())
		return err == nil
	})
}
