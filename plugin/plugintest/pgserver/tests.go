package pgserver

// What tests call.

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

// shared is the server of this test binary, from the first test that asks for it until Main ends.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// made counts what tests made in their servers, for names that no two have.
var made atomic.Int64

// Main runs the tests of a package and ends the server that they share. It returns the code to exit with.
func Main(m *testing.M) int {
	defer func() {
		if shared.server != nil {
			shared.server.remove()
		}
	}()
	return m.Run()
}

// need returns the folder of PostgreSQL's programs, or skips the test. In CI it fails instead.
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

// Shared returns the server that the tests of this binary share. Their package needs Main.
func Shared(t testing.TB) *Server {
	t.Helper()
	bin := need(t)
	shared.once.Do(func() { shared.server, shared.err = newServer(bin, nil) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// Start starts a server of the test's own, with settings such as "max_connections=5". It ends with the test.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := newServer(need(t), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// Schema returns a DSN and a name for a schema that nobody else uses. Whatever is in it when the test ends is
// dropped.
func (s *Server) Schema(t testing.TB) (dsn, schema string) {
	t.Helper()
	schema = fmt.Sprintf("sessions_%d", made.Add(1))
	t.Cleanup(func() { s.Exec(t, `DROP SCHEMA IF EXISTS `+schema+` CASCADE`) })
	return s.DSN(superuser), schema
}

// Database makes an empty database for the test and returns its DSN, as the superuser.
func (s *Server) Database(t testing.TB) (dsn string) {
	t.Helper()
	database := fmt.Sprintf("test_%d", made.Add(1))
	s.Exec(t, `CREATE DATABASE `+database)
	t.Cleanup(func() { s.Exec(t, `DROP DATABASE IF EXISTS `+database+` WITH (FORCE)`) })
	return s.DSN(superuser) + " dbname=" + database
}

// Role makes a role that may sign in, for the test, and returns its name.
func (s *Server) Role(t testing.TB, password string) string {
	t.Helper()
	role := fmt.Sprintf("role_%d", made.Add(1))
	s.Exec(t, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD '%s'`, role, password))
	t.Cleanup(func() { s.Exec(t, `DROP OWNED BY `+role+` CASCADE`, `DROP ROLE `+role) })
	return role
}

// Exec executes statements as the superuser, in the database "postgres", each in a transaction of its own.
// One that an engine's last transaction was in the way of is made again.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	// Not the test's context: it is done when a cleanup runs.
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

// Hold executes a statement as the superuser, in a transaction that holds its locks until letGo rolls it
// back, which the end of the test does too.
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

// Stop stops the server in order: sessions are ended, nothing is lost.
func (s *Server) Stop() { s.stop(syscall.SIGINT) }

// Begin starts a server again that was stopped or killed, at the same port.
func (s *Server) Begin(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}
