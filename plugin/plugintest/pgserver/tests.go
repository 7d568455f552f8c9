package pgserver

// The functions for tests.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// shared is the server of this test binary, from the first test that uses it until Main ends.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// made numbers what tests create in their servers, for unique names.
var made atomic.Int64

// Main runs the tests of a package and stops the server that they share. It returns the exit code.
func Main(m *testing.M) int {
	defer func() {
		if shared.server != nil {
			shared.server.remove()
		}
	}()
	return m.Run()
}

// need returns the folder of PostgreSQL's programs, or skips the test. In CI it fails the test.
func need(t testing.TB) string {
	t.Helper()
	bin := binaries()
	switch {
	case bin != "":
	case os.Getenv("CI") != "":
		t.Fatal(ErrNone, ": see .ci/run")
	default:
		t.Skip(ErrNone)
	}
	return bin
}

// Shared returns the server shared by the tests of this binary. Their package needs Main.
func Shared(t testing.TB) *Server {
	t.Helper()
	bin := need(t)
	shared.once.Do(func() { shared.server, shared.err = newServer(bin, nil) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Start starts a server for the test, with settings such as "max_connections=5". It ends with the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := newServer(need(t), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// Schema returns a DSN and the name of an unused schema. The schema is dropped at the end of the test.
func (s *Server) Schema(t testing.TB) (dsn, schema string) {
	t.Helper()
	schema = fmt.Sprintf("sessions_%d", made.Add(1))
	t.Cleanup(func() { s.Exec(t, `DROP SCHEMA IF EXISTS `+schema+` CASCADE`) })
	return s.DSN(superuser), schema
}

// Database creates an empty database for the test and returns its DSN, for the superuser.
func (s *Server) Database(t testing.TB) (dsn string) {
	t.Helper()
	database := fmt.Sprintf("test_%d", made.Add(1))
	s.Exec(t, `CREATE DATABASE `+database)
	t.Cleanup(func() { s.Exec(t, `DROP DATABASE IF EXISTS `+database+` WITH (FORCE)`) })
	return s.DSN(superuser) + " dbname=" + database
}

// Role creates a role that may sign in, for the test, and returns its name.
func (s *Server) Role(t testing.TB, password string) string {
	t.Helper()
	role := fmt.Sprintf("role_%d", made.Add(1))
	s.Exec(t, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, role, password))
	t.Cleanup(func() { s.Exec(t, `DROP OWNED BY `+role+` CASCADE`, `DROP ROLE `+role) })
	return role
}

// Exec executes statements as the superuser, in the database "postgres", each in its own transaction. It
// retries a statement that conflicts with an engine's last transaction.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	// Not the test's context, which is cancelled before cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connection, err := pgx.Connect(ctx, s.DSN(superuser))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close(ctx) }()
	for _, statement := range statements {
		_, err := connection.Exec(ctx, statement)
		for deadlocked(err) {
			_, err = connection.Exec(ctx, statement)
		}
		if err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// Hold executes a statement as the superuser, in a transaction that holds its locks until letGo, or the end
// of the test, rolls it back.
func (s *Server) Hold(t testing.TB, statement string) (letGo func()) {
	t.Helper()
	connection, err := pgx.Connect(t.Context(), s.DSN(superuser))
	if err != nil {
		t.Fatal(err)
	}
	letGo = sync.OnceFunc(func() { _ = connection.Close(context.Background()) })
	t.Cleanup(letGo)
	for _, statement := range []string{"BEGIN", statement} {
		if _, err := connection.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return letGo
}

func deadlocked(err error) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && failure.Code == "40P01"
}

// Stop shuts the server down: sessions are ended, nothing is lost.
func (s *Server) Stop() { s.stop(syscall.SIGINT) }

// Begin restarts a server that was stopped or killed, at the same port.
func (s *Server) Begin(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}
