//go:build linux

package cli_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/badger/cli"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// runEnv makes the test binary act as the program.
const runEnv = "CLI_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runEnv) != "" {
		os.Exit(cli.Run(context.Background(), cli.Env{
			Name: "sessions-badger", Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		}))
	}
	os.Exit(m.Run())
}

// On a full disk no partial backup remains and no partial store is served. A store of a killed process can be
// opened read-only, but not for changes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if !testenv.NeedNamespace(t) {
		return
	}
	disk := t.TempDir()
	testenv.Tmpfs(t, disk, 0, "mode=0700,size=64k")
	path, file := newStore(t, badger.Settings{}, 32<<10), filepath.Join(t.TempDir(), "file")
	command(t, "export", path, filepath.Join(disk, "file")).want(t, cli.Failed, "no space left on device")
	if left := files(t, disk); left != "" {
		t.Errorf("files on the full disk: %q", left)
	}
	command(t, "export", path, file).want(t, cli.Done)

	target := filepath.Join(disk, "target")
	program := func(args ...string) outcome {
		t.Helper()
		// In a separate process, because a write to a mapped file on a full disk kills the process.
		child := testenv.Self(t, "", runEnv+"=1")
		child.Args = append(child.Args, args...)
		var stdout, stderr bytes.Buffer
		child.Stdout, child.Stderr = &stdout, &stderr
		err := child.Run()
		var exited *exec.ExitError
		if err != nil && !errors.As(err, &exited) {
			t.Fatal(err)
		}
		return outcome{child.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	}
	for _, size := range []string{"256k", "512k", "100m"} {
		testenv.Resize(t, disk, "size="+size)
		program("import", target, file).want(t, cli.Failed, "disk is nearly full", "make room")
	}
	testenv.Resize(t, disk, "size=1g")
	if o := program("check", target); o.code == cli.Done && !strings.Contains(o.stdout, ": 0 records") {
		t.Errorf("a check of a partial store: exit code %d, %s%s", o.code, o.stdout, o.stderr)
	}
	if err := os.RemoveAll(target); err != nil {
		t.Fatal(err)
	}
	program("import", target, file).want(t, cli.Done)
	program("check", target).want(t, cli.Done, "80 records")

	killed := filepath.Join(disk, "killed")
	copyOpen(t, target, killed)
	testenv.Resize(t, disk, "size=100m")
	program("check", target).want(t, cli.Done, "80 records")
	program("check", killed).want(t, cli.Done, "80 records")
	program("migrate", killed).want(t, cli.Failed, "more than 256 are needed to open the store: make room")
}

// copyOpen copies a store while it is open: the copy is like the store of a killed process.
func copyOpen(t *testing.T, from, to string) {
	t.Helper()
	e := openStore(t, badger.Settings{Path: from})
	defer func() {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(files(t, from)) {
		if info, err := os.Stat(filepath.Join(from, name)); err == nil && info.IsDir() {
			continue // the reserve
		}
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		// The files are sparse.
		err = os.WriteFile(filepath.Join(to, name), bytes.TrimRight(data, "\x00"), 0o600)
		if err := errors.Join(err, os.Truncate(filepath.Join(to, name), int64(len(data)))); err != nil {
			t.Fatal(err)
		}
	}
}
