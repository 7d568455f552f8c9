package integration

// PostgreSQL as a backend: moves to it and back under load.

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/postgres"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// postgresSettings returns settings of an empty store, with the DSN in a file.
func postgresSettings(t *testing.T) postgres.Settings {
	t.Helper()
	dsn, schema := pgserver.Shared(t).Schema(t)
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte(dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	return postgres.Settings{DSNFile: file, Schema: schema}
}

// While a database does not answer, the host reports which one.
func TestStoppedDatabaseIsNamed(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	config := postgresConfig(t)
	config.Settings = postgres.Settings{DSN: dsn, Schema: schema}
	config.CallTimeout, config.HealthTimeout = 0, 0 // the defaults
	client, err := plugin.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	server.Stop()
	defer server.Begin(t)
	testenv.Eventually(t, "the host names the database", func() bool {
		_, err := client.Describe(t.Context())
		return err != nil && strings.Contains(err.Error(), "its database does not answer") &&
			strings.Contains(err.Error(), "no PostgreSQL answers at "+server.Folder())
	})
}

func postgresConfig(t *testing.T) plugin.Config {
	t.Helper()
	return patient(binary(t, "sessions-postgres"), postgresSettings(t))
}

// A server on Badger is swapped to PostgreSQL under load, and back.
func TestSwapToPostgreSQLUnderLoad(t *testing.T) {
	t.Parallel()
	settings, folder, back := postgresSettings(t), t.TempDir(), t.TempDir()
	c := &crowd{t: t, told: map[string]int{}}
	client := httptest.NewServer(c)
	defer client.Close()
	stores := map[string]plugin.Config{
		"badger":   patient(binary(t, "sessions-badger"), badger.Settings{Path: folder}),
		"postgres": patient(binary(t, "sessions-postgres"), settings),
		"back":     patient(binary(t, "sessions-badger"), badger.Settings{Path: back}),
	}
	adapter := pluginHost(t, "badger", stores, func(config *hostadapter.Config) {
		config.Clients = logout.ClientMap{"app": {BackChannelLogoutURI: client.URL}}
		config.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		config.Signer = signer(func(_ context.Context, claims []byte) (string, error) {
			return string(claims), nil
		})
	})
	c.backend = adapter.Backend()
	c.seed(300)
	ticker := time.NewTicker(time.Second / 200)
	defer ticker.Stop()
	c.pace = ticker.C
	for _, to := range []string{"postgres", "back"} {
		stop := c.work(16)
		state, switched := c.swap(adapter, to)
		stop()
		p99, n := c.pause(switched, state.Finished)
		t.Logf("to %s: %d records, %.0f records/s, writes held %s, p99 of %d writes in the switch %s", to,
			state.Progress.Copied, state.Rate, state.Progress.Held, n, p99)
		c.expectWhole()
	}
	if err := adapter.Close(); err != nil {
		t.Error(err)
	}
	c.check(folder, transfer.Superseded)
	c.check(back, transfer.Active)
	look, err := postgres.OpenReadOnly(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	report, err := look.Check(t.Context(), postgres.CheckConfig{})
	if err != nil || report.State != transfer.Superseded || len(report.Findings) > 0 {
		t.Errorf("the store on PostgreSQL is %+v, error %v", report, err)
	}
	if err := look.Close(); err != nil {
		t.Error(err)
	}
}

// A running server on Badger is swapped to PostgreSQL by one call while its users refresh. After a crash it
// starts on PostgreSQL, whether or not its flags name PostgreSQL as the first store.
func TestServerMovesToPostgreSQL(t *testing.T) {
	t.Parallel()
	settings := postgresSettings(t)
	database := []string{"-dsn-file", settings.DSNFile}
	s := newSwapper(t, 3, 0, append(database, "-store", "pg=postgres:"+settings.Schema)...)
	stop := make(chan struct{})
	var refreshed atomic.Int64
	var wg sync.WaitGroup
	for i := range s.users {
		wg.Go(func() {
			for !t.Failed() {
				select {
				case <-stop:
					return
				default:
				}
				if s.refreshLogin(t, i) {
					refreshed.Add(1)
				}
			}
		})
	}
	testenv.Eventually(t, "there is load", func() bool { return refreshed.Load() > 10 || t.Failed() })
	status, answer := s.admin(t, http.MethodPost, "/backend/swap", map[string]string{"backend": "pg"})
	job, _ := answer["job"].(string)
	if status != http.StatusAccepted || job == "" {
		t.Errorf("the swap answered %d %v, want 202 and a job", status, answer)
	}
	testenv.Eventually(t, "the swap is done", func() bool {
		_, told := s.admin(t, http.MethodGet, "/jobs/"+job, nil)
		return told["state"] == "done" || t.Failed()
	})
	after := refreshed.Load()
	testenv.Eventually(t, "the load continues", func() bool {
		return refreshed.Load() > after+10 || t.Failed()
	})
	close(stop)
	wg.Wait()
	s.expectWhole(t)
	_, backend := s.admin(t, http.MethodGet, "/backend", nil)
	if backend["name"] != "postgres" || backend["shared"] != true {
		t.Errorf("the serving backend is described as %v", backend)
	}
	s.kill()
	s.start(t) // it follows its store
	s.expectWhole(t)
	s.kill()
	s.flags = append(database, "-backend", "postgres", "-schema", settings.Schema)
	s.start(t)
	s.expectWhole(t)
	for i := range s.logins {
		s.refreshLogin(t, i)
	}
	s.expectWhole(t)
}
