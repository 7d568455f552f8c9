package postgres

// Several servers in a DSN.

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// A replaced primary reports that it accepts writes, but confirms no commit. It is skipped, and the
// connections of calls that wait for it are closed when another server has committed.
func TestReplacedPrimary(t *testing.T) {
	t.Parallel()
	old, next := pgserver.Start(t), pgserver.Start(t)
	settings := Settings{DSN: fmt.Sprintf("host=%s,%s port=%d,%d user=postgres dbname=postgres",
		old.Folder(), next.Folder(), old.Port, next.Port)}
	config, err := settings.config()
	if err != nil {
		t.Fatal(err)
	}
	config.MinConns = 0
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	acquire := func(want *pgserver.Server) *pgxpool.Conn {
		t.Helper()
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
		var at string
		err = conn.QueryRow(t.Context(), "SHOW unix_socket_directories").Scan(&at)
		if err != nil || at != want.Folder() {
			t.Fatalf("connected to %s, error %v, want %s", at, err, want.Folder())
		}
		return conn
	}
	first, idle := acquire(old), acquire(old)
	old.Exec(t, "CREATE TABLE kept (n int)", "ALTER SYSTEM SET synchronous_standby_names = 'gone'",
		"SELECT pg_reload_conf()")
	written := make(chan error, 1)
	go func() {
		var err error
		for err == nil { // the setting is applied later
			_, err = first.Exec(t.Context(), "INSERT INTO kept VALUES (1)")
		}
		written <- err
	}()
	testenv.Eventually(t, "a commit waits for a standby", func() bool {
		var waits bool
		err := idle.QueryRow(t.Context(),
			"SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&waits)
		return err == nil && waits
	})
	third := acquire(next)
	if err := <-written; !lost(err) {
		t.Errorf("an unconfirmed commit: %v, want its connection lost", err)
	}
	if _, err := idle.Exec(t.Context(), "SELECT 1"); !lost(err) {
		t.Errorf("a read from the replaced primary: %v, want its connection lost", err)
	}
	if _, err := third.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error(err)
	}
}
