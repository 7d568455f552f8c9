package postgres

// Three hosts with copies of access tokens: two of them pause for longer than their lease or lose their
// connections while sessions end at all of them (rule 15).

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
)

// wire is the connections of a host to its database, which can be paused or broken.
type wire struct {
	mu      sync.Mutex
	passing chan struct{} // closed while it passes data
	conns   []net.Conn
}

func newWire() *wire {
	w := &wire{passing: make(chan struct{})}
	close(w.passing)
	return w
}

// stop pauses the wire until the returned function is called.
func (w *wire) stop() (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stopped := make(chan struct{})
	w.passing = stopped
	return func() { close(stopped) }
}

func (w *wire) pass() {
	w.mu.Lock()
	passing := w.passing
	w.mu.Unlock()
	<-passing
}

// lose breaks all connections.
func (w *wire) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

type wired struct {
	net.Conn
	wire *wire
}

func (c *wired) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wire.pass()
	return n, err
}

func (c *wired) Write(p []byte) (int, error) {
	c.wire.pass()
	return c.Conn.Write(p)
}

// open opens a host over the wire.
func (w *wire) open(t *testing.T, settings Settings) *Engine {
	t.Helper()
	config, err := settings.config()
	if err != nil {
		t.Fatal(err)
	}
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		w.pass()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.conns = append(w.conns, conn)
		return &wired{conn, w}, nil
	}
	return serve(t, config, settings)
}

// tokenLife is a session with a token, and the step at which its end was acknowledged, 0 for none.
type tokenLife struct {
	*tokenFamily
	acked atomic.Int64
}

// hostGroup is a group of hosts with the introspections and ends made at them.
type hostGroup struct {
	t     *testing.T
	hosts []*cachedHost
	wires []*wire
	lives []*tokenLife
	step  atomic.Int64
	asked atomic.Int64
	mu    sync.Mutex
	took  []time.Duration // of ends at the undisturbed host
}

const groupSessions = 60

func newHostGroup(t *testing.T) *hostGroup {
	t.Helper()
	settings := emptyStore(t)
	mustOpen(t, settings) // creates the tables
	c := &hostGroup{t: t}
	for range 3 {
		w := newWire()
		c.wires = append(c.wires, w)
		c.hosts = append(c.hosts, newCachedHost(t, w.open(t, settings), nil))
	}
	for i := range groupSessions {
		l := &tokenLife{tokenFamily: &tokenFamily{name: fmt.Sprint(i)}}
		if err := l.signIn(t.Context(), c.hosts[0]); err != nil {
			t.Fatal(err)
		}
		c.lives = append(c.lives, l)
	}
	return c
}

// ask introspects random tokens at a host until the context ends.
func (c *hostGroup) ask(ctx context.Context, s *cachedHost) {
	for ctx.Err() == nil {
		l := c.lives[rand.IntN(len(c.lives))]
		started := c.step.Add(1)
		if s.active(ctx, l.access(0).Ref) {
			if acked := l.acked.Load(); acked != 0 && acked < started {
				c.t.Errorf("%s: introspected at step %d, ended at step %d, and active", l.name, started,
					acked)
			}
		}
		c.asked.Add(1)
		time.Sleep(time.Millisecond) // let others run
	}
}

// end ends each of the sessions at a host, in one of three ways.
func (c *hostGroup) end(s *cachedHost, lives []*tokenLife, alone bool) {
	for i, l := range lives {
		began := time.Now()
		s.endBy(c.t, l.tokenFamily, i%3)
		l.acked.Store(c.step.Add(1))
		if alone {
			c.mu.Lock()
			c.took = append(c.took, time.Since(began))
			c.mu.Unlock()
		}
	}
}

func (s *cachedHost) endBy(t *testing.T, l *tokenFamily, way int) {
	t.Helper()
	call := func() error {
		_, err := s.Logout().End(t.Context(), &logout.Ending{
			OperationID: "end " + l.name, SessionID: "session " + l.name, Reason: logout.Terminated,
		}, base)
		return err
	}
	switch way {
	case 1:
		call = func() error {
			_, err := s.Grants().Apply(t.Context(), &grantstore.Batch{
				OperationID: "revoke " + l.name,
				Revoke:      []grantstore.Revocation{{RequestID: "request " + l.name}},
			}, base)
			return err
		}
	case 2:
		call = func() error {
			_, err := s.Grants().Remove(t.Context(), grantstore.Removal{
				OperationID: "remove " + l.name, Filter: grantstore.Filter{SessionID: "session " + l.name},
				Limit: 100,
			}, base)
			return err
		}
	}
	for t.Context().Err() == nil {
		if err := call(); s.answer(t.Context(), err) == nil {
			return
		}
	}
}

// disturb pauses two hosts in turn for longer than a lease, and breaks connections.
func (c *hostGroup) disturb(ctx context.Context) {
	for round := 0; ctx.Err() == nil; round++ {
		w := c.wires[1+round%2]
		if round%3 == 2 {
			w.lose()
		}
		release := w.stop()
		pauseFor(ctx, time.Duration(1200+rand.IntN(800))*time.Millisecond)
		release()
		pauseFor(ctx, time.Duration(rand.IntN(600))*time.Millisecond)
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func TestThreeHosts(t *testing.T) {
	t.Parallel()
	c := newHostGroup(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asking, ending sync.WaitGroup
	for _, s := range c.hosts {
		asking.Go(func() { c.ask(ctx, s) })
	}
	asking.Go(func() { c.disturb(ctx) })
	for i, lives := range slices.Collect(slices.Chunk(c.lives, groupSessions/len(c.hosts))) {
		ending.Go(func() { c.end(c.hosts[i], lives, i == 0) })
	}
	ending.Wait()
	stop()
	asking.Wait()
	slices.Sort(c.took)
	hits := uint64(0)
	for _, s := range c.hosts {
		hits += s.meter.Figures().Hits
	}
	t.Logf("%d introspections, %d from copies; ends at the undisturbed host took %v, at most %v",
		c.asked.Load(), hits, c.took[len(c.took)/2], c.took[len(c.took)-1])
	if hits == 0 {
		t.Error("no answer was a copy: the case did not occur")
	}
}
