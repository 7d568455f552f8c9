//go:build linux

package integration

// A volume owned by a group.

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// A program that is its own plugin serves from a volume owned by one of its process's groups (Kubernetes'
// fsGroup), whatever its umask.
func TestGroupVolumeOfAProgramThatIsItsOwnPlugin(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		t.Skip("it changes the user, which requires root")
	}
	const uid, gid = 1000, 1000
	root, err := os.MkdirTemp("", "gv") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	data := filepath.Join(root, "data")
	store, temporary := filepath.Join(data, "sessions"), filepath.Join(root, "tmp")
	program := copyForAll(t, binary(t, "fosite-server"), filepath.Join(root, "fosite-server"))
	for at := root; at != filepath.Clean(os.TempDir()) && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.Mkdir(data, 0o700), os.Mkdir(store, 0o700), os.Mkdir(temporary, 0o700),
		os.Chown(data, uid, gid), os.Chown(temporary, uid, gid), os.Chown(store, 0, gid),
		os.Chmod(store, 0o775|fs.ModeSetgid),
	); err != nil {
		t.Fatal(err)
	}
	// The shell sets the umask of most systems.
	command := exec.CommandContext(t.Context(), "/bin/sh", "-c", `umask 022; exec "$@"`, "sh", program,
		"-addr", "127.0.0.1:0", "-data", data)
	command.Env = append(os.Environ(), "TMPDIR="+temporary)
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	command.Stderr = t.Output()
	server := testenv.Start(t, command)
	_, serves := server.Said("plugin_pid:")
	_ = command.Process.Signal(syscall.SIGTERM)
	if err := server.Wait(); err != nil || !serves {
		t.Fatalf("the server served: %v; it ended with %v", serves, err)
	}
	entries, err := os.ReadDir(store)
	if err != nil || len(entries) == 0 {
		t.Fatalf("the store holds %v, %v", entries, err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Mode().Perm()&0o007 != 0 || info.Mode().Perm()&0o060 != 0o060 {
			t.Errorf("%s has mode %v, error %v: others may read it, or the group not write", entry.Name(),
				info.Mode(), err)
		}
	}
}

// copyForAll copies a program to a folder where every user may run it.
func copyForAll(t *testing.T, from, to string) string {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}
