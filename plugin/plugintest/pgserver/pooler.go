package pgserver

// A pooler in front of a server.

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Pooler starts a PgBouncer in transaction mode in front of the server, for the test, and returns a DSN for
// the superuser. It refuses everything that a session would have to keep.
func (s *Server) Pooler(t testing.TB) (dsn string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal("there is no PgBouncer: see .ci/run")
	default:
		t.Skip("there is no PgBouncer")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // only to find a free port
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	users, config := filepath.Join(s.folder, "users"), filepath.Join(s.folder, "pgbouncer.ini")
	for file, text := range map[string]string{
		users: fmt.Sprintf("%q \"\"\n", superuser),
		config: fmt.Sprintf("[databases]\n* = host=%s port=%d\n"+
			"[pgbouncer]\nunix_socket_dir = %[1]s\nlisten_port = %[3]d\n"+
			"auth_type = trust\nauth_file = %[4]s\npool_mode = transaction\n"+
			"default_pool_size = 20\nmax_client_conn = 1000\n",
			s.folder, s.Port, port, users),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // no secrets
			t.Fatal(err)
		}
	}
	command := exec.Command(program, config) //nolint:noctx // it ends with the test
	s.own(command)
	command.Dir = s.folder
	pooler := testenv.Start(t, command)
	dsn = fmt.Sprintf("host=%s port=%d user=%s dbname=postgres", s.folder, port, superuser)
	testenv.Eventually(t, "the pooler takes connections", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		connection, err := pgx.Connect(ctx, dsn)
		if err != nil {
			select {
			case <-pooler.Ended():
				t.Fatalf("the pooler has ended: %s", pooler.Log.String())
			default:
			}
			return false
		}
		return connection.Close(ctx) == nil
	})
	return dsn
}
