package plugin

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
	// pipeGrace is how long we read on from a process that has ended: children of its own may hold its pipes
	// open.
	pipeGrace = 250 * time.Millisecond
	// maxTail bounds the last words of a plugin that does not start, in bytes.
	maxTail = 1 << 10
	// groupPoll is how often to look whether the children of a process that ended are still there.
	groupPoll = 10 * time.Millisecond
	// groupGrace is how long they have to end by themselves: they see that standard input was closed.
	groupGrace = 3 * time.Second
)

// process is the plugin's operating system process. go-plugin has a runner of its own, but that one hands the
// host's standard input on, reads log lines with a parser that panics, and waits forever for pipes that a
// grandchild holds.
type process struct {
	path   string
	args   []string
	env    []string
	logger *slog.Logger
	// aborted reports that the start was given up.
	aborted func() bool

	cmd       *exec.Cmd
	proc      atomic.Pointer[os.Process] // nil before the start
	lifeline  *os.File                   // closing it tells the plugin that the host is gone
	stdout    *os.File
	stderr    *os.File
	greeting  greeting
	socketDir string

	ended   chan struct{} // closed when the process has ended
	err     error         // of the process; read after ended
	drained sync.WaitGroup
	settled atomic.Bool // the backend is open, so there is something to close
	killed  atomic.Bool // by us
	// answer is of a backend that says that it has failed.
	answer atomic.Pointer[error]

	tailMu sync.Mutex
	tail   string
}

var _ runner.Runner = (*process)(nil)

// attach is go-plugin's RunnerFunc: spec has the environment that go-plugin wants.
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
	p.drained.Go(func() { logline.Copy(p.stderr, p.logger, p.remember) })
	p.proc.Store(p.cmd.Process)
	go p.await()
	if p.aborted() {
		return p.Kill(ctx)
	}
	return nil
}

// await ends when the process has.
func (p *process) await() {
	p.err = p.cmd.Wait()
	_ = p.lifeline.Close()
	close(p.ended)
	time.AfterFunc(pipeGrace, func() {
		_ = p.stdout.Close()
		_ = p.stderr.Close()
	})
}

// remember keeps the end of what the process says while it starts, and then of its errors.
func (p *process) remember(record slog.Record) {
	settled := p.settled.Load()
	if record.Level < slog.LevelInfo || settled && record.Level < slog.LevelError {
		return
	}
	p.tailMu.Lock()
	defer p.tailMu.Unlock()
	if settled { // one is enough: the last says why the process ends
		p.tail = ""
	}
	p.tail = strings.TrimPrefix(p.tail+"\n"+logline.Text(record), "\n")
	p.tail = p.tail[max(0, len(p.tail)-maxTail):]
}

// lastWords returns the end of what was remembered.
func (p *process) lastWords() string {
	p.tailMu.Lock()
	defer p.tailMu.Unlock()
	return strings.ToValidUTF8(p.tail, "?")
}

// failure returns why the backend of a process that has ended had failed, nil if it had not.
func (p *process) failure() error {
	if answer := p.answer.Load(); answer != nil {
		return fmt.Errorf("its backend has failed: %s", (*answer).Error())
	}
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) || exit.ExitCode() != exitFailed {
		return nil
	}
	p.drained.Wait()
	return p.withLastWords(fmt.Errorf("its backend has failed (%s)", p.exit()))
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

// endedByItself tells whether the process has ended, or does so about now: its connection breaks a moment
// earlier.
func (p *process) endedByItself() bool {
	if p.pid() == 0 || !p.endsWithin(pipeGrace) {
		return false
	}
	p.drained.Wait()
	return !p.killed.Load()
}

func (p *process) endsWithin(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-timer.C:
		return false
	}
}

// pid is 0 before the start.
func (p *process) pid() int {
	if proc := p.proc.Load(); proc != nil {
		return proc.Pid
	}
	return 0
}

// Stdout is where go-plugin reads the handshake.
func (p *process) Stdout() io.ReadCloser { return &stdout{p} }

// Stderr is empty: we read the real one ourselves.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the binary.
func (p *process) Name() string { return p.path }

// ID is the process id, empty before the start.
func (p *process) ID() string {
	if p.pid() == 0 {
		return ""
	}
	return strconv.Itoa(p.pid())
}

// Diagnose has nothing to add: see explain.
func (p *process) Diagnose(context.Context) string { return "" }

// Wait waits for the process and what it had to say.
func (p *process) Wait(context.Context) error {
	<-p.ended
	p.drained.Wait()
	return p.err
}

// Kill ends the process. One that has a database open is asked, and has until instance.stop loses its
// patience; one that never came so far is killed with all of its children.
func (p *process) Kill(context.Context) error {
	proc := p.proc.Load()
	switch {
	case proc == nil:
		return nil
	case p.settled.Load():
		if !p.dead() && askToEnd(proc) != nil {
			p.slay()
		}
	case p.endsWithin(pipeGrace): // on its own, to be told apart from one that we killed
		killGroup(proc)
	default:
		p.slay()
	}
	<-p.ended
	return nil
}

// slay kills the process and all of its children.
func (p *process) slay() {
	if proc := p.proc.Load(); proc != nil && !p.dead() {
		p.killed.Store(true)
		killGroup(proc)
	}
}

// clearGroup waits, once the process has ended, for the children that it may have had, and kills those that
// stay: the plugin behind a wrapper script holds the database, which the next one needs.
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

// PluginToHost and HostToPlugin have nothing to translate.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin: see PluginToHost.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// stdout lets us see the handshake as go-plugin reads it, and ends quietly when we close it.
type stdout struct{ p *process }

func (s *stdout) Read(buffer []byte) (int, error) {
	n, err := s.p.stdout.Read(buffer)
	s.p.greeting.write(buffer[:n])
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
