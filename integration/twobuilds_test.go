package integration

// Several builds of the program on one PostgreSQL store (rule 14): a rolling upgrade to the next release and
// to the one after it.

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// The builds of later releases. The first adds a migration that expands the schema; the second adds one that
// removes something this release uses.
var (
	nextRelease = sync.OnceValues(func() (string, error) { return buildRelease("v2", expands) })
	lastRelease = sync.OnceValues(func() (string, error) { return buildRelease("v3", expands, contracts) })
)

const (
	expands   = "ALTER TABLE {s}.sessions ADD COLUMN of_tests integer NOT NULL DEFAULT 0;\n"
	contracts = "ALTER TABLE {s}.sessions DROP COLUMN of_tests;\n"
)

// buildRelease builds sessions-postgres with additional migrations and that version. A migration that drops
// something requires a program that has the migrations before it.
func buildRelease(version string, more ...string) (program string, err error) {
	migrations, err := filepath.Abs("../plugin/postgres/internal/schema/migrations")
	if err != nil {
		return "", err
	}
	there, err := filepath.Glob(filepath.Join(migrations, "*.sql"))
	if err != nil || len(there) == 0 {
		return "", fmt.Errorf("there are no migrations in %s: %w", migrations, err)
	}
	last, err := os.ReadFile(there[len(there)-1])
	if err != nil {
		return "", err
	}
	needs := regexp.MustCompile(`\A-- needs: \d+\n`).FindString(string(last))
	folder, overlay := filepath.Join(binaries.folder, version), map[string]map[string]string{"Replace": {}}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", err
	}
	for i, text := range more {
		number := len(there) + 1 + i
		if strings.Contains(text, "DROP") {
			needs = fmt.Sprintf("-- needs: %d\n", number-1)
		}
		name := fmt.Sprintf("%03d_tests.sql", number)
		if err := os.WriteFile(filepath.Join(folder, name), []byte(needs+text), 0o600); err != nil {
			return "", err
		}
		overlay["Replace"][filepath.Join(migrations, name)] = filepath.Join(folder, name)
	}
	raw, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(folder, "sessions-postgres")
	build := exec.Command("go", "build", "-C", "../plugin/cmd/sessions-postgres", "-overlay", file,
		"-ldflags", "-X github.com/fosite-sessions/sessions/plugin/postgres.buildVersion="+version,
		"-o", program, ".")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", version, err, output)
	}
	return program, nil
}

// release returns the path of a build.
func release(t *testing.T, build func() (string, error)) string {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// After a migration that expands the schema, hosts of this release and of the next use one store together. A
// migration that removes something this release uses is refused while a host of this release runs; afterwards
// this release is refused. No request of a serving host fails meanwhile.
func TestTwoBuildsOnOneStore(t *testing.T) {
	t.Parallel()
	settings := postgresSettings(t)
	open := func(program string) (*plugin.Client, error) {
		return plugin.Open(t.Context(), patient(program, settings))
	}
	opened := func(program string) *plugin.Client {
		t.Helper()
		client, err := open(program)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	now, next, last := binary(t, "sessions-postgres"), release(t, nextRelease), release(t, lastRelease)
	old := opened(now)
	works := func(backend sessions.Backend, least int64) (stop func() []string) {
		t.Helper()
		count, stop := signingIn(t, backend, randomText())
		testenv.Eventually(t, "a host works", func() bool { return count.Load() >= least || t.Failed() })
		return stop
	}
	stopOld := works(old, 10)
	newer := opened(next) // while the old host works
	stopNew := works(newer, 10)
	if client, err := open(last); err == nil {
		_ = client.Close()
		t.Error("a column was dropped while a host used it")
	} else if !strings.Contains(err.Error(), "hosts with an older program use the store: ") ||
		strings.Contains(err.Error(), "v2") {
		t.Errorf("a start with a migration that an older host does not support: %v", err)
	}
	sids := append(stopOld(), stopNew()...)
	for name, backend := range map[string]sessions.Backend{"old": old, "new": newer} {
		works(backend, 10)()
		for _, sid := range sids {
			detail, err := backend.Tickets().Find(t.Context(), sid)
			if err != nil || len(detail.Clients) != 1 {
				t.Fatalf("the %s host, session %s: %+v, error %v", name, sid, detail, err)
			}
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	stopNew = works(newer, 10)
	newest := opened(last)
	works(newest, 10)()
	stopNew()
	if _, err := open(now); err == nil ||
		!strings.Contains(err.Error(), "the store needs a newer program") {
		t.Errorf("a host with an older program starts: %v", err)
	}
	opened(next)
}
