//go:build linux

package testenv

// File systems in memory, and mount namespaces for tests.

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// namespaceEnv names the test that runs in its own mount namespace.
const namespaceEnv = "TESTENV_NAMESPACE"

// Tmpfs mounts a small file system in memory on a folder, with options of mount(8) such as "size=1m". It is
// removed with its test. It needs root or a test InNamespace; otherwise the test is skipped, but fails in CI.
func Tmpfs(t testing.TB, folder string, flags uintptr, options string) {
	t.Helper()
	switch err := syscall.Mount("test", folder, "tmpfs", flags, options); {
	case err == nil:
		t.Cleanup(func() { _ = syscall.Unmount(folder, syscall.MNT_DETACH) })
	case errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "":
		t.Skipf("no file system can be mounted here, which root may: %v", err)
	default:
		t.Fatal(err)
	}
}

// Resize changes the options of a file system mounted by Tmpfs.
func Resize(t testing.TB, folder, options string) {
	t.Helper()
	if err := syscall.Mount("test", folder, "tmpfs", syscall.MS_REMOUNT, options); err != nil {
		t.Fatal(err)
	}
}

// NeedNamespace is InNamespace for a test that requires a namespace: without it the test is skipped, but
// fails in CI.
func NeedNamespace(t *testing.T) (inside bool) {
	t.Helper()
	inside, err := InNamespace(t)
	switch {
	case err == nil:
	case os.Getenv("CI") == "":
		t.Skipf("no mount namespace can be had here: %v", err)
	default:
		t.Fatalf("no mount namespace can be had here: %v", err)
	}
	return inside
}

// InNamespace reports whether this process runs the test in its own mount namespace, whose mounts end with
// its last process, even if that is killed. If it returns false and no error, it has run the test there, and
// the test is done; an error means that this is impossible.
func InNamespace(t *testing.T) (inside bool, err error) {
	t.Helper()
	return inNamespace(t, 0)
}

// inNamespace is InNamespace with additional namespaces.
func inNamespace(t *testing.T, others uintptr) (inside bool, err error) {
	t.Helper()
	if os.Getenv(namespaceEnv) == t.Name() {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		return true, nil
	}
	command := Self(t, t.Name(), namespaceEnv+"="+t.Name())
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | others, Pdeathsig: syscall.SIGKILL,
	}
	if os.Getuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	command.Stdout, command.Stderr = t.Output(), t.Output()
	err = command.Run()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		t.Errorf("in a namespace of its own: %v", err)
		return false, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSPC):
		return false, err
	case err != nil:
		t.Fatal(err)
	}
	return false, nil
}
