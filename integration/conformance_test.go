package integration

// The conformance suite on the built plugins.

import (
	"encoding/json"
	"flag"
	"log/slog"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Authors of plugins run the suite on their own binary: see plugin/README.md.
var (
	pluginFlag = flag.String("plugin", "", "run TestBuiltPlugin on this binary")
	settings   = flag.String("settings", "{}",
		"its settings in JSON; FOLDER is replaced by an empty folder for each backend")
)

// The suite runs on installed plugins, with a process for each case. Badger's plugin must pass all of it,
// which `make test-plugins` runs; the memory plugin runs the same code as without a process.
func TestBuiltPlugin(t *testing.T) {
	t.Parallel()
	if *pluginFlag != "" {
		plugintest.RunBinary(t, func(t *testing.T) plugin.Config {
			raw := strings.ReplaceAll(*settings, "FOLDER", t.TempDir())
			return patient(*pluginFlag, json.RawMessage(raw))
		})
		return
	}
	testenv.SkipRace(t, "it does not see other processes, and plugintest covers the host's side")
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		plugintest.RunBinary(t, memoryConfig, "Tickets")
	})
	t.Run("badger", func(t *testing.T) {
		t.Parallel()
		if testenv.Long() {
			plugintest.RunBinary(t, badgerConfig)
		} else {
			plugintest.RunBinary(t, badgerConfig, "Tickets")
		}
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if testenv.Long() {
			plugintest.RunBinary(t, postgresConfig)
		} else {
			plugintest.RunBinary(t, postgresConfig, "Tickets")
		}
	})
}

func openPlugin(t testing.TB, config plugin.Config) *plugin.Client {
	t.Helper()
	client, err := plugin.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return client
}

func badgerConfig(t *testing.T) plugin.Config {
	t.Helper()
	return patient(binary(t, "sessions-badger"), badger.Settings{Path: t.TempDir()})
}

func memoryConfig(t *testing.T) plugin.Config {
	t.Helper()
	return patient(binary(t, "sessions-memory"), nil)
}

func patient(path string, settings any) plugin.Config {
	return plugin.Config{
		Path: path, Settings: settings, Logger: slog.New(slog.NewTextHandler(watched.log(), nil)),
		CallTimeout: patience, LongCallTimeout: patience,
		HealthTimeout: patience,
	}
}
