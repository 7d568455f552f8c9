package postgres

// Three hosts with copies of access tokens, some of which pause for longer than their lease, lose their
// connections or die, while sessions end at all of them (rule 15).

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
	mu    sync.Mutex
	flows chan struct{} // closed while it passes data
	conns []net.Conn
}

func newWire() *wire {
	w := &wire{flows: make(chan struct{})}
	close(w.flows)
	return w
}

// stop pauses the wire until the returned function is called.
func (w *wire) stop() (release func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	stopped := make(chan struct{})
	w.flows = stopped
	return func() { close(stopped) }
}

func (w *wire) pass() {
	w.mu.Lock()
	flows := w.flows
	w.mu.Unlock()
	<-flows
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

// life is a session with a token, and the step at which its end was acknowledged, 0 for none.
type life struct {
	*line
	acked atomic.Int64
}

// crowd are the hosts, and the questions and ends made at them.
type crowd struct {
	t     *testing.T
	seats []*seat
	wires []*wire
	lives []*life
	step  atomic.Int64
	asked atomic.Int64
	mu    sync.Mutex
	took  []time.Duration // of ends at the undisturbed host
}

const livesOfCrowd = 60

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	settings := emptyStore(t)
	mustOpen(t, settings) // creates the tables
	c := &crowd{t: t}
	for range 3 {
		w := newWire()
		c.wires = append(c.wires, w)
		c.seats = append(c.seats, newSeat(t, w.open(t, settings), nil))
	}
	for i := range livesOfCrowd {
		l := &life{line: &line{name: fmt.Sprint(i)}}
		if err := l.signIn(t.Context(), c.seats[0]); err != nil {
			t.Fatal(err)
		}
		c.lives = append(c.lives, l)
	}
	return c
}

// ask asks about random tokens at a host until the context ends.
func (c *crowd) ask(ctx context.Context, s *seat) {
	for ctx.Err() == nil {
		l := c.lives[rand.IntN(len(c.lives))]
		started := c.step.Add(1)
		if s.active(ctx, l.access(0).Ref) {
			if acked := l.acked.Load(); acked != 0 && acked < started {
				c.t.Errorf("%s was asked about at step %d, ended at step %d, and is active", l.name, started,
					acked)
			}
		}
		c.asked.Add(1)
		time.Sleep(time.Millisecond) // let others run
	}
}

// end ends each of the sessions at a host, in one of three ways.
func (c *crowd) end(s *seat, lives []*life, alone bool) {
	for i, l := range lives {
		began := time.Now()
		s.endBy(c.t, l.line, i%3)
		l.acked.Store(c.step.Add(1))
		if alone {
			c.mu.Lock()
			c.took = append(c.took, time.Since(began))
			c.mu.Unlock()
		}
	}
}

func (s *seat) endBy(t *testing.T, l *line, way int) {
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

// torment pauses one host after another for longer than a lease, or breaks its connections.
func (c *crowd) torment(ctx context.Context) {
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
	c := newCrowd(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asking, ending sync.WaitGroup
	for _, s := range c.seats {
		asking.Go(func() { c.ask(ctx, s) })
	}
	asking.Go(func() { c.torment(ctx) })
	for i, lives := range slices.Collect(slices.Chunk(c.lives, livesOfCrowd/len(c.seats))) {
		ending.Go(func() { c.end(c.seats[i], lives, i == 0) })
	}
	ending.Wait()
	stop()
	asking.Wait()
	slices.Sort(c.took)
	hits := uint64(0)
	for _, s := range c.seats {
		hits += s.meter.Figures().Hits
	}
	t.Logf("%d questions, %d answered by copies; ends at the host that is left alone took %v, at most %v",
		c.asked.Load(), hits, c.took[len(c.took)/2], c.took[len(c.took)-1])
	if hits == 0 {
		t.Error("no copy has answered: the test shows nothing")
	}
}
