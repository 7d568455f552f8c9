package plugin

// The operating system process of a plugin: start, output, end.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/fosite-sessions/sessions/plugin/internal/logline"
)

const (
	// pipeGrace is how long the pipes of an ended process are still read: its children may hold them open.
	pipeGrace = 250 * time.Millisecond
	// maxTail bounds the last output of a plugin that does not start, in bytes.
	maxTail = 1 << 10
	// groupPoll is how often to check whether children of an ended process still run.
	groupPoll = 10 * time.Millisecond
	// groupGrace is how long the children may take to exit by themselves after their standard input is
	// closed.
	groupGrace = 3 * time.Second
)

// process is the plugin's operating system process. It replaces go-plugin's runner, which passes on the
// host's standard input, parses log lines with a parser that can panic, and waits forever for pipes held by a
// grandchild.
type process struct {
	path   string
	args   []string
	env    []string
	logger *slog.Logger
	// aborted reports whether the start was aborted.
	aborted func() bool

	cmd       *exec.Cmd
	proc      atomic.Pointer[os.Process] // nil before the start
	lifeline  *os.File                   // closing it makes the plugin exit
	stdout    *os.File
	stderr    *os.File
	handshake handshakeLine
	socketDir string

	ended   chan struct{} // closed when the process has ended
	err     error         // of the process; read after ended
	drained sync.WaitGroup
	ready   atomic.Bool // the backend is open and has to be closed
	killed  atomic.Bool // by us
	// found is the condition in which it was killed.
	found atomic.Pointer[string]
	// answer is the error of a failed backend.
	answer atomic.Pointer[error]
	// down is why the backend is unavailable while its database does not answer, else nil.
	down atomic.Pointer[error]

	tailMu sync.Mutex
	tail   string
}

var _ runner.Runner = (*process)(nil)

// attach is go-plugin's RunnerFunc: spec holds the environment that go-plugin needs.
func (p *process) attach(spec *exec.Cmd, socketDir string) (runner.Runner, error) {
	p.socketDir = socketDir
	p.cmd = &exec.Cmd{Path: p.path, Args: append([]string{p.path}, p.args...), SysProcAttr: ownGroup()}
	p.cmd.Env = append(append([]string{}, p.env...), spec.Env...)
	p.cmd.Env = append(p.cmd.Env, lifelineEnv+"="+lifelineStdin, levelEnv+"="+p.level())
	return p, nil
}

func (p *process) level() string {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if p.logger.Enabled(context.Background(), level) {
			return logline.LevelName(level)
		}
	}
	return logline.LevelName(slog.LevelError)
}

// Start starts the process.
func (p *process) Start(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	var stdin, stdout, stderr, lifeline *os.File
	defer func() {
		for _, theirs := range []*os.File{stdin, stdout, stderr} {
			_ = theirs.Close()
		}
		if err != nil {
			for _, ours := range []*os.File{lifeline, p.stdout, p.stderr} {
				_ = ours.Close()
			}
		}
	}()
	if stdin, lifeline, err = os.Pipe(); err != nil {
		return err
	}
	if p.stdout, stdout, err = os.Pipe(); err != nil {
		return err
	}
	if p.stderr, stderr, err = os.Pipe(); err != nil {
		return err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, stdout, stderr
	if err = p.cmd.Start(); err != nil {
		return err
	}
	p.lifeline = lifeline
	p.logger = p.logger.With("plugin_pid", p.cmd.Process.Pid)
	p.drained.Go(func() { logline.Copy(p.stderr, p.logger, p.keepOutput) })
	p.proc.Store(p.cmd.Process)
	go p.await()
	if p.aborted() {
		return p.Kill(ctx)
	}
	return nil
}

// await waits for the end of the process.
func (p *process) await() {
	p.err = p.cmd.Wait()
	_ = p.lifeline.Close()
	close(p.ended)
	time.AfterFunc(pipeGrace, func() {
		_ = p.stdout.Close()
		_ = p.stderr.Close()
	})
}

// keepOutput keeps the last output of a starting process; once the backend is open it keeps the last error.
func (p *process) keepOutput(record slog.Record) {
	ready := p.ready.Load()
	if record.Level < slog.LevelInfo || ready && record.Level < slog.LevelError {
		return
	}
	p.tailMu.Lock()
	defer p.tailMu.Unlock()
	if ready { // only the last error: it explains why the process ends
		p.tail = ""
	}
	p.tail = strings.TrimPrefix(p.tail+"\n"+logline.Text(record), "\n")
	p.tail = p.tail[max(0, len(p.tail)-maxTail):]
}

// lastOutput returns what was remembered.
func (p *process) lastOutput() string {
	p.tailMu.Lock()
	defer p.tailMu.Unlock()
	return strings.ToValidUTF8(p.tail, "?")
}

// failure returns why the backend of an ended process failed, or nil if it did not.
func (p *process) failure() error {
	if answer := p.answer.Load(); answer != nil {
		p.drained.Wait() // the answer has no cause, but the log does
		return p.withLastOutput(fmt.Errorf("its backend has failed: %s", (*answer).Error()))
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); !ok || exit.ExitCode() != exitFailed {
		return nil
	}
	p.drained.Wait()
	return p.withLastOutput(fmt.Errorf("its backend has failed (%s)", p.exit()))
}

// dead reports whether the process has ended.
func (p *process) dead() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// endedByItself reports whether the process exited without being killed by us. It waits briefly, because the
// connection breaks before the process has ended.
func (p *process) endedByItself() bool {
	if p.pid() == 0 || !p.endsWithin(pipeGrace) {
		return false
	}
	p.drained.Wait()
	return !p.killed.Load()
}

func (p *process) endsWithin(d time.Duration) bool {
	select {
	case <-p.ended:
		return true
	case <-time.After(d):
		return false
	}
}

// pid returns the process id, or 0 before the start.
func (p *process) pid() int {
	if proc := p.proc.Load(); proc != nil {
		return proc.Pid
	}
	return 0
}

// Stdout returns the stream from which go-plugin reads the handshake.
func (p *process) Stdout() io.ReadCloser { return &stdout{p} }

// Stderr returns an empty stream: Start reads the real one.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name returns the path of the binary.
func (p *process) Name() string { return p.path }

// ID returns the process id, or "" before the start.
func (p *process) ID() string {
	if p.pid() == 0 {
		return ""
	}
	return strconv.Itoa(p.pid())
}

// Diagnose returns "": see explain.
func (p *process) Diagnose(context.Context) string { return "" }

// Wait waits until the process has ended and its output is read.
func (p *process) Wait(context.Context) error {
	<-p.ended
	p.drained.Wait()
	return p.err
}

// Kill ends the process. If its database is open, it gets SIGTERM, and instance.stop kills it after a
// timeout. Otherwise it is killed with all its children.
func (p *process) Kill(context.Context) error {
	proc := p.proc.Load()
	switch {
	case proc == nil:
		return nil
	case p.ready.Load():
		if !p.dead() && askToEnd(proc) != nil {
			p.killAll()
		}
	case p.endsWithin(pipeGrace): // endedByItself must report this
		killGroup(proc)
	default:
		p.killAll()
	}
	<-p.ended
	return nil
}

// killAll kills the process and all its children.
func (p *process) killAll() {
	if proc := p.proc.Load(); proc != nil && !p.dead() {
		found := conditionOf(proc.Pid)
		p.found.CompareAndSwap(nil, &found)
		p.killed.Store(true)
		killGroup(proc)
	}
}

// condition describes what the process did when it was killed, or else does now: whether it waits, is
// stopped, or has had no processor.
func (p *process) condition() string {
	if found := p.found.Load(); found != nil {
		return *found
	}
	if p.dead() { // its id may be that of another process
		return "ended"
	}
	return conditionOf(p.pid())
}

// clearGroup waits for the children of an ended process and kills those that remain: a plugin started by a
// wrapper script holds the database, which the next process needs.
func (p *process) clearGroup() {
	proc := p.proc.Load()
	if proc == nil {
		return
	}
	for deadline := time.Now().Add(groupGrace); groupLives(proc); time.Sleep(groupPoll) {
		if time.Now().After(deadline) {
			p.logger.WarnContext(context.Background(),
				"session plugin left processes behind, which are killed")
			killGroup(proc)
			return
		}
	}
}

// PluginToHost returns its arguments: nothing is translated.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin returns its arguments: nothing is translated.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// stdout records the handshake while go-plugin reads it. Once closed, it returns io.EOF.
type stdout struct{ p *process }

func (s *stdout) Read(buffer []byte) (int, error) {
	n, err := s.p.stdout.Read(buffer)
	s.p.handshake.write(buffer[:n])
	if errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (s *stdout) Close() error { return s.p.stdout.Close() }

// exit describes how the process ended.
func (p *process) exit() string {
	if p.err == nil {
		return "exit status 0"
	}
	return fmt.Sprint(p.err)
}
