package plugin

// Supervision: a dead plugin is replaced while calls wait (rule 11).

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
)

// Backoff between the end of a plugin and the next start. It doubles up to lastRestart for a plugin that
// starts but dies, well within the time that calls wait, and up to lastRetry for a plugin that does not start
// or whose backend fails repeatedly.
const (
	firstRestart = 50 * time.Millisecond
	lastRestart  = time.Second
	lastRetry    = 10 * time.Second
	// stable is how long a plugin must serve to reset the backoff.
	stable = 500 * time.Millisecond
	// proven is the same for a plugin whose backend failed: it may fail again at the first write.
	proven = 3 * time.Second
)

// link connects the stores to the plugin. It outlives the process: a dead process is replaced.
type link struct {
	config   *Config
	settings []byte
	storeID  string // of the first process's store; later processes must serve the same
	gate     rpc.Gate
	state    atomic.Pointer[linkState] // written by supervise only
	closing  context.Context
	cancel   context.CancelFunc
	done     chan struct{} // closed when supervise has returned
	closed   atomic.Bool   // the cache answers nothing any more
	// restarts counts the processes after the first, waits the calls that waited for a process.
	restarts, waits atomic.Uint64
}

// linkState is the current process, or why there is none.
type linkState struct {
	instance    *instance     // nil while there is no process
	failure     error         // why the last start failed, or the last process
	since       time.Time     // start of this process, or end of the last one while there is none
	lastFailure error         // why the previous process failed
	changed     chan struct{} // closed when this state is replaced
}

var _ grpc.ClientConnInterface = (*link)(nil)

func newLink(config *Config, settings []byte, first *instance) *link {
	l := &link{
		config: config, settings: settings, storeID: first.description.StoreID, done: make(chan struct{}),
	}
	l.closing, l.cancel = context.WithCancel(context.Background())
	l.state.Store(&linkState{instance: first, changed: make(chan struct{})})
	go l.supervise(first)
	return l
}

// Invoke makes a call on the current process.
func (l *link) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	if !l.gate.Enter() {
		return fmt.Errorf("%w: closed", rpc.ErrGone)
	}
	defer l.gate.Leave()
	in, err := l.acquire(ctx)
	if err != nil {
		return err
	}
	return in.calls.Invoke(ctx, method, request, answer, options...)
}

// NewStream opens a stream to the current process. The stream ends with the process or the link and is not
// moved to the next process.
func (l *link) NewStream(
	ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if !l.gate.Enter() {
		return nil, fmt.Errorf("%w: closed", rpc.ErrGone)
	}
	defer l.gate.Leave()
	in, err := l.acquire(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(l.closing, cancel)
	context.AfterFunc(ctx, func() { forget() }) // callers cancel the contexts of their streams
	return in.calls.NewStream(ctx, description, method, options...)
}

// cache returns the cache of the current process, or nil if there is none.
func (l *link) cache() *grantcache.Cache {
	if in := l.state.Load().instance; in != nil && !in.dead() && !l.closed.Load() {
		return in.cache
	}
	return nil
}

// acquire returns a live process. While one is being started, even after failed starts, it waits until
// CallTimeout after the end of the last process. After that calls fail immediately until a process serves
// again.
func (l *link) acquire(ctx context.Context) (*instance, error) {
	for waits := false; ; {
		state := l.state.Load()
		if state.instance != nil && !state.instance.dead() {
			return state.instance, nil
		}
		var enough <-chan time.Time
		if state.failure != nil {
			left := l.config.CallTimeout - time.Since(state.since)
			if left <= 0 {
				return nil, state.gone()
			}
			enough = time.After(left)
		}
		if !waits {
			waits = true
			l.waits.Add(1)
		}
		select {
		case <-state.changed:
		case <-enough:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.closing.Done():
			return nil, fmt.Errorf("%w: closed", rpc.ErrGone)
		}
	}
}

// gone returns the error for calls while there is no process. It keeps only the failure's text: its identity,
// such as a FieldError's, would blame the caller.
func (s *linkState) gone() error {
	return fmt.Errorf("%w and %s", rpc.ErrGone, s.failure.Error())
}

// trouble returns why the previous process failed, or "" once the current process has served for a while.
func (l *link) trouble() string {
	state := l.state.Load()
	if state.lastFailure == nil || time.Since(state.since) > proven {
		return ""
	}
	return "the plugin was restarted " + time.Since(state.since).Round(time.Second).String() + " ago: " +
		state.lastFailure.Error()
}

// failure returns why calls cannot be served: the failed start, the failed backend, or the shared database
// that does not answer. It returns nil otherwise, and during the first restart.
func (l *link) failure() error {
	state := l.state.Load()
	if state.failure != nil {
		return state.gone()
	}
	if in := state.instance; in != nil {
		if down := in.down.Load(); down != nil {
			return *down
		}
	}
	return nil
}

func (l *link) setState(state *linkState) {
	state.changed = make(chan struct{})
	close(l.state.Swap(state).changed)
}

// supervise restarts the plugin whenever it dies, or is killed because it hangs, until close.
func (l *link) supervise(in *instance) {
	defer close(l.done)
	pause := firstRestart
	for {
		started := time.Now()
		go l.watch(in)
		followed := make(chan struct{})
		go func() {
			defer close(followed)
			in.follow(l.closing)
		}()
		select {
		case <-in.ended:
		case <-l.closing.Done():
			<-followed // follow tells the plugin that there are no copies any more
			return
		}
		in.logger.ErrorContext(l.closing, "session plugin died, restarting it", "exit", in.exit())
		ended := time.Now()
		l.setState(&linkState{since: ended})
		in.stop(l.config.CloseTimeout)
		enough, most := stable, lastRestart
		failure := in.failure()
		if failure != nil {
			enough, most = proven, lastRetry
			l.setState(&linkState{failure: failure, since: ended})
		}
		if ended.Sub(started) > enough {
			pause = firstRestart
		}
		if in = l.restart(pause, ended); in == nil {
			return
		}
		l.restarts.Add(1)
		pause = min(2*pause, most)
		l.setState(&linkState{instance: in, since: time.Now(), lastFailure: failure})
	}
}

// restart returns a new process to replace the ended one, or nil if the link is closing.
func (l *link) restart(pause time.Duration, ended time.Time) *instance {
	for {
		select {
		case <-time.After(pause):
		case <-l.closing.Done():
			return nil
		}
		in, err := launch(l.closing, l.config, l.settings, []string{l.storeID})
		if err == nil {
			return in
		}
		if l.closing.Err() != nil {
			return nil
		}
		pause = min(2*pause, lastRetry)
		l.config.Logger.ErrorContext(l.closing, "session plugin does not start",
			"error", err, "next_try_in", pause.String())
		l.setState(&linkState{failure: fmt.Errorf("does not restart: %w", err), since: ended})
	}
}

// close ends the link and its process.
func (l *link) close() error {
	l.closed.Store(true)
	// Cancel the calls that wait for a process: there will be none.
	if in := l.state.Load().instance; in == nil || in.dead() {
		l.cancel()
	}
	l.gate.Close(l.config.CallTimeout)
	l.cancel()
	<-l.done
	in := l.state.Load().instance
	if in == nil || in.dead() {
		if in != nil {
			in.stop(l.config.CloseTimeout)
		}
		return nil
	}
	in.stop(l.config.CloseTimeout)
	if in.err != nil {
		return fmt.Errorf("%w: %s", errKilled, in.exit())
	}
	return nil
}
