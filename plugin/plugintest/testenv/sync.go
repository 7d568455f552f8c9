//go:build linux

package testenv

// Failing syncs, by strace.

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// syncs are the system calls that write data to disk: Badger uses msync for its logs and tables, fsync for
// its manifest.
const syncs = "msync,fsync,fdatasync"

// Failing makes syncs of a process fail.
type Failing struct {
	tracer *exec.Cmd
	ended  chan struct{}

	mutex sync.Mutex
	said  bytes.Buffer
}

// FailSync makes the next sync of each thread of a running process fail with an input/output error, until
// Stop. It returns once this is in effect.
func FailSync(t testing.TB, pid int) (*Failing, error) {
	t.Helper()
	need(t, "strace")
	return FailSyncOf(pid)
}

// FailSyncOf is FailSync, returning an error if it is impossible.
func FailSyncOf(pid int) (*Failing, error) {
	f := &Failing{ended: make(chan struct{})}
	//nolint:noctx // a test's own process
	f.tracer = exec.Command("strace", append(injection(1), "-p", strconv.Itoa(pid))...)
	f.tracer.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	f.tracer.Stderr = writer
	err = f.tracer.Start()
	_ = writer.Close()
	if err != nil {
		_ = reader.Close()
		return nil, err
	}
	attached := make(chan bool, 1)
	go func() {
		defer func() { _ = reader.Close() }()
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			f.mutex.Lock()
			fmt.Fprintln(&f.said, lines.Text())
			f.mutex.Unlock()
			if strings.Contains(lines.Text(), " attached") {
				select {
				case attached <- true:
				default:
				}
			}
		}
		_ = f.tracer.Wait()
		close(f.ended)
		close(attached)
	}()
	if !<-attached {
		return nil, fmt.Errorf("strace does not attach: %s", f.output())
	}
	return f, nil
}

// WithFailingSync returns a command that runs a program in which the nth sync of each thread fails.
func WithFailingSync(t testing.TB, nth int, program string, args ...string) *exec.Cmd {
	t.Helper()
	need(t, "strace")
	return exec.CommandContext(t.Context(), "strace", append(append(injection(nth), program), args...)...)
}

func injection(nth int) []string {
	return []string{
		"-f", "-e", "trace=" + syncs, "-e", "signal=none",
		"-e", "inject=" + syncs + ":error=EIO:when=" + strconv.Itoa(nth),
	}
}

// Met reports whether a sync has failed.
func (f *Failing) Met() bool { return strings.Contains(f.output(), "(INJECTED)") }

func (f *Failing) output() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.said.String()
}

// Ended is closed when the process has ended.
func (f *Failing) Ended() <-chan struct{} { return f.ended }

// Stop stops making syncs fail. It may be called again.
func (f *Failing) Stop() {
	_ = f.tracer.Process.Signal(syscall.SIGTERM)
	<-f.ended
}
