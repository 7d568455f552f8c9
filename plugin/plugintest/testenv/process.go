package testenv

// Processes that end with their test.

import (
	"bufio"
	"bytes"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Process is a process started by a test. It ends with the test at the latest, however the test ends.
type Process struct {
	*exec.Cmd
	// Log is the process's standard error.
	Log Log

	ended chan struct{}

	mutex  sync.Mutex
	more   *sync.Cond
	lines  []string // of standard output, not read yet
	closed bool
}

// Self returns a command that runs one test of the test binary again, with additional environment variables.
// With an empty name it runs no test: TestMain decides by the environment what to do.
func Self(t testing.TB, test string, env ...string) *exec.Cmd {
	command := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // the test binary itself
	if test != "" {
		command.Args = append(command.Args,
			"-test.run=^"+test+"$", "-test.v", "-test.count=1", "-test.timeout=0")
	}
	command.Env = append(os.Environ(), env...)
	return command
}

// Start starts a command. Its output is read unless the command redirects it.
func Start(t testing.TB, command *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Cmd: command, ended: make(chan struct{})}
	p.more = sync.NewCond(&p.mutex)
	if command.Stderr == nil {
		command.Stderr = &p.Log
	}
	endWithParent(command)
	if err := p.start(); err != nil {
		t.Fatalf("start %s: %v", command.Path, err)
	}
	go func() {
		defer close(p.ended)
		_ = command.Wait()
	}()
	t.Cleanup(p.Kill)
	return p
}

func (p *Process) start() error {
	if p.Stdout != nil {
		p.closed = true
		return p.Start()
	}
	// A pipe of our own, because exec's is closed as soon as the process has ended, whether it was read or
	// not.
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	p.Stdout = writer
	err = p.Start()
	_ = writer.Close()
	if err != nil {
		_ = reader.Close()
		return err
	}
	go p.read(reader)
	return nil
}

func (p *Process) read(reader *os.File) {
	defer func() { _ = reader.Close() }()
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		p.mutex.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mutex.Unlock()
		p.more.Broadcast()
	}
	p.mutex.Lock()
	p.closed = true
	p.mutex.Unlock()
	p.more.Broadcast()
}

// Lines iterates over the lines of standard output that were not read yet, until its end.
func (p *Process) Lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for {
			p.mutex.Lock()
			for len(p.lines) == 0 && !p.closed {
				p.more.Wait()
			}
			if len(p.lines) == 0 {
				p.mutex.Unlock()
				return
			}
			line := p.lines[0]
			p.lines = p.lines[1:]
			p.mutex.Unlock()
			if !yield(line) {
				return
			}
		}
	}
}

// Said waits for a line that begins with a word, skipping others, and returns the rest of the line. It
// returns false if the process ends without such a line.
func (p *Process) Said(word string) (rest string, said bool) {
	for line := range p.Lines() {
		if first, rest, _ := strings.Cut(line, " "); first == word {
			return rest, true
		}
	}
	return "", false
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits until the process has ended, and returns an error unless it succeeded.
func (p *Process) Wait() error {
	<-p.ended
	if !p.ProcessState.Success() {
		return fmt.Errorf("the process has ended: %s", p.ProcessState)
	}
	return nil
}

// Kill kills the process and waits for its end.
func (p *Process) Kill() {
	_ = p.Process.Kill()
	<-p.ended
}

// Runs reports whether a process runs. A zombie does not, once all its threads have ended: until then it
// holds its files, and the lock of its database.
func Runs(pid int) bool {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return len(threads) > 1 || State(pid) != "Z"
}

// State returns the system's letter for the state of a process, Z also for one that is gone.
func State(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "Z"
	}
	return string(stat[bytes.LastIndexByte(stat, ')')+2:][:1])
}
