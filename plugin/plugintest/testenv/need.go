package testenv

// What a test needs of the machine; in CI it must be there.

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// need skips a test, and fails it in CI, where it may not do what it is about: that takes root on Linux and
// some tools of Debian's.
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

// Traces reports whether syncs of another process can be made to fail here. In CI they must.
func Traces(t testing.TB) bool {
	t.Helper()
	_, err := exec.LookPath("strace")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("there is no strace: see .ci/run")
	}
	return err == nil
}
