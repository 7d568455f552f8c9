package testenv

// Requirements of a test; in CI they must be met.

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// need skips a test, or fails it in CI, unless the requirements are met: root on Linux and some tools of
// Debian.
func need(t testing.TB, tools ...string) {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") != "" {
			t.Fatalf("there is no %s: see .ci/run", what)
		}
		t.Skipf("there is no %s", what)
	}
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		missing("root on Linux")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing(tool)
		}
	}
}

// Traces reports whether syncs of another process can be made to fail here. In CI it fails the test if not.
func Traces(t testing.TB) bool {
	t.Helper()
	_, err := exec.LookPath("strace")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("there is no strace: see .ci/run")
	}
	return err == nil
}
