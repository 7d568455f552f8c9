package main

// Every flow runs once on every store, so that `make load` works when it is needed.

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
)

// TestMain makes the test binary what the command is: a server and a plugin.
func TestMain(m *testing.M) {
	if os.Getenv(serveEnv) != "" || plugin.Launched() {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"over HTTP": nil, "in process": {"-direct"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var output strings.Builder
			args := append(args, "-users", "8", "-codes", "8", "-rounds", "1", "-time", "20ms",
				"-callers", "2", "-data", t.TempDir())
			if err := run(t.Context(), args, &output); err != nil {
				t.Fatal(err)
			}
			for _, f := range flows {
				for _, store := range f.stores {
					if strings.HasPrefix(store, storePostgres) || store == storeNone && name == "in process" {
						continue
					}
					if !hasRow(output.String(), f.name, "2", store) {
						t.Errorf("%s on %s was not measured:\n%s", f.name, store, &output)
					}
				}
			}
		})
	}
}

// Two hosts share a store on PostgreSQL, each held to a share of a core.
func TestTwoHostsShareAStore(t *testing.T) {
	t.Parallel()
	group, err := newCgroup(0.5)
	if err == nil {
		err = group.remove()
	}
	var output strings.Builder
	if err == nil {
		err = run(t.Context(), []string{
			"-stores", "postgres,postgres-uncached", "-hosts", "2", "-core", "0.5", "-callers", "2",
			"-users", "8", "-codes", "8", "-rounds", "1", "-time", "50ms", "-data", t.TempDir(),
		}, &output)
	} else if os.Getuid() != 0 {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	switch {
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, pgserver.ErrNone) && os.Getenv("CI") == "":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	for _, f := range flows {
		if !hasRow(output.String(), f.name, "2", "postgres(2)") {
			t.Errorf("%s was not measured with two hosts:\n%s", f.name, &output)
		}
	}
	if !hasRow(output.String(), "introspect", "2", "postgres-uncached(2)") {
		t.Errorf("introspection without the cache was not measured with two hosts:\n%s", &output)
	}
}

func TestTelemetryIsCompared(t *testing.T) {
	t.Parallel()
	var output strings.Builder
	args := []string{
		"-telemetry", "-lines", "-flow", "introspect", "-users", "8", "-rounds", "2", "-time", "20ms",
		"-callers", "2", "-data", t.TempDir(),
	}
	if err := run(t.Context(), args, &output); err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{storeBadger, storeBadger + uncached} {
		for _, telemetry := range telemetries {
			name := "/flow=introspect/store=" + store + "/telemetry=" + telemetry + "/hosts=1/callers=2\t"
			if strings.Count(output.String(), "BenchmarkLoad"+name) != 2 {
				t.Errorf("%s with telemetry %s was not measured twice:\n%s", store, telemetry, &output)
			}
		}
	}
}

func hasRow(table string, cells ...string) bool {
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > len(cells) &&
			strings.Join(fields[:len(cells)], " ") == strings.Join(cells, " ") {
			return true
		}
	}
	return false
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	for flag, args := range map[string][]string{
		"-users:": {"-users", "0"}, "-rounds:": {"-rounds", "-1"}, "-callers": {"-callers", "1,-1"},
		"-time:": {"-time", "0"}, "-flow:": {"-flow", "fly"}, "-serve:": {"-serve", "wine"},
		"-stores:": {"-stores", "badger,wine"}, "-hosts": {"-hosts", "two"}, "-core:": {"-core", "-1"},
		"-direct:": {"-direct", "-hosts", "2"},
	} {
		if _, err := parse(args, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%v: %v, want an error that names %s", args, err, flag)
		}
	}
}
