package testenv

// Network namespaces for tests.

import (
	"os"
	"syscall"
	"testing"
)

// NeedNetwork reports whether this process runs the test in its own network and mount namespace, where it may
// create interfaces and mounts that end with its last process. If it returns false, it has run the test
// there, and the test is done. Without root or the tools the test is skipped, and fails in CI.
func NeedNetwork(t *testing.T, tools ...string) (inside bool) {
	t.Helper()
	need(t, append(tools, "ip")...)
	inside, err := inNamespace(t, syscall.CLONE_NEWNET)
	switch {
	case err != nil && os.Getenv("CI") == "":
		t.Skipf("no network namespace can be had here: %v", err)
	case err != nil:
		t.Fatalf("no network namespace can be had here: %v", err)
	case inside:
		if _, err := run("ip", "link", "set", "lo", "up"); err != nil {
			t.Fatal(err)
		}
	}
	return inside
}
