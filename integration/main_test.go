package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
)

// binaries are built once, on first use.
var binaries struct {
	folder string
	build  map[string]func() error
}

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	folder, err := os.MkdirTemp("", "fosite-sessions-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binaries.folder = folder
	binaries.build = map[string]func() error{}
	for name, source := range map[string]string{
		"fosite-server":      "../examples/fosite-server",
		"sessions-badger":    "../plugin/cmd/sessions-badger",
		"sessions-badger-v2": "../plugin/cmd/sessions-badger",
		"sessions-memory":    "../plugin/cmd/sessions-memory",
		"sessions-postgres":  "../plugin/cmd/sessions-postgres",
		"sessionsctl":        "../hostadapter/admin/cmd/sessionsctl",
	} {
		flags := ""
		if _, version, found := strings.Cut(name, "-v"); found {
			flags = "-X github.com/fosite-sessions/sessions/plugin/badger.buildVersion=v" + version
		}
		binaries.build[name] = sync.OnceValue(func() error {
			// In its own folder, so that its module is also found with GOWORK=off.
			build := exec.Command("go", "build", "-C", source, "-ldflags", flags, "-o",
				filepath.Join(folder, name), ".")
			if output, err := build.CombinedOutput(); err != nil {
				return fmt.Errorf("build %s: %w\n%s", source, err, output)
			}
			return nil
		})
	}
	code := pgserver.Main(m)
	if found := watched.leaks(); len(found) > 0 {
		fmt.Fprintf(os.Stderr, "The logs of this run contain secrets:\n%s\n", strings.Join(found, "\n"))
		return 1
	}
	return code
}

// binary returns the path of a built program.
func binary(t testing.TB, name string) string {
	t.Helper()
	if err := binaries.build[name](); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(binaries.folder, name)
}
