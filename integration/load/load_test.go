package main

// Every flow runs once on every store, so that `make load` works when it is needed.

import (
	"os"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin"
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
					if store == storeNone && name == "in process" {
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
	for _, store := range ours {
		for _, telemetry := range telemetries {
			name := "/flow=introspect/store=" + store + "/telemetry=" + telemetry + "/callers=2\t"
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
		"-users": {"-users", "0"}, "-rounds": {"-rounds", "-1"}, "-callers": {"-callers", "-1"},
		"-time": {"-time", "0"}, "-flow": {"-flow", "fly"}, "-serve": {"-serve", "wine"},
	} {
		if _, err := parse(args, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), flag+":") {
			t.Errorf("%v: %v, want an error that names %s", args, err, flag)
		}
	}
}
