package grantcache_test

// A model of a host and its plugin, run in random order with its own clock: no introspection that starts
// after an acknowledged end is answered "active". Store and cache are real; processes, connections and their
// faults are simulated. Each safeguard is disabled in turn, to verify that the model detects it.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/internal/grantcache"
	"github.com/fosite-sessions/sessions/plugin/memory"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// fault is a disabled safeguard, or a failure.
type fault int

const (
	sound fault = iota
	overtakes
	lateFill
	lostKill
	survives
	unnoticed
	unjudged
	lateWrite
	repeated
)

// seeded are the faults that the model must detect.
var seeded = map[fault]string{
	overtakes: "an answer before the kills of its position",
	lateFill:  "a read that began before a kill and fills the cache after it",
	lostKill:  "a kill that is not streamed",
	survives:  "a cache that is kept after its stream ended",
	unnoticed: "a higher token number without a kill",
	unjudged:  "hits without a check of the expiry",
	lateWrite: "a write that was committed before a kill and fills the cache after it",
	repeated:  "a repeated batch whose answer fills the cache",
}

const (
	soundRuns = 500
	faultRuns = 3000 // at most: it stops at the first detection
	// Sessions with two tokens each, and the callers that introspect and end them.
	lives   = 4
	askers  = 6
	asks    = 25
	enders  = 3
	ends    = 4
	crashes = 2
	// The callers that exchange and refresh.
	issuers = 2
	issues  = 8
)

func TestModel(t *testing.T) {
	t.Parallel()
	t.Run("sound", func(t *testing.T) {
		t.Parallel()
		figures := grantcache.Meter{}
		for seed := range uint64(soundRuns) {
			if bad := play(t, seed, sound, &figures); len(bad) > 0 {
				t.Fatalf("seed %d: %v", seed, bad)
			}
		}
		// The model must reach each state, or it detects nothing.
		if f := figures.Figures(); f.Hits < soundRuns || f.Refusals == 0 || f.Drops < soundRuns {
			t.Errorf("in %d runs: %+v, want hits, refusals and drops", soundRuns, f)
		}
	})
	for fault, name := range seeded {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(faultRuns) {
				if bad := play(t, seed, fault, &grantcache.Meter{}); len(bad) > 0 {
					t.Logf("found in run %d: %s", seed+1, bad[0])
					return
				}
			}
			t.Errorf("not found in %d runs", faultRuns)
		})
	}
}

// play runs the model once and returns the violations.
func play(t *testing.T, seed uint64, fault fault, meter *grantcache.Meter) (bad []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &model{
			fault: fault, meter: meter, store: memory.New(), random: rand.New(rand.NewPCG(seed, 1)),
			now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		ctx, cancel := context.WithCancel(t.Context())
		m.populate(ctx)
		m.start(ctx)
		var acting sync.WaitGroup
		for range askers {
			acting.Go(func() { m.ask(ctx) })
		}
		for range enders {
			acting.Go(func() { m.end(ctx) })
		}
		for i := range issuers {
			acting.Go(func() { m.issue(ctx, i) })
		}
		acting.Go(func() { m.crash(ctx) })
		acting.Wait()
		cancel()
		m.running.Wait()
		bad = m.bad
	})
	return bad
}

type model struct {
	fault fault
	meter *grantcache.Meter
	store *memory.Store
	now   time.Time
	// running are the goroutines of processes.
	running sync.WaitGroup
	// step numbers events.
	step atomic.Int64
	// serving is the current process, nil while there is none.
	serving atomic.Pointer[process]

	mu     sync.Mutex
	random *rand.Rand
	tokens []*token
	bad    []string
	// hidden is the session whose kills are not streamed (unnoticed).
	hidden string
}

// token is an access token with the step at which its end was acknowledged, 0 for none.
type token struct {
	grant grantstore.Grant
	acked int64
	// stored: an end that the token would survive if it was stored after it.
	stored bool
}

// chance returns a random number below n.
func (m *model) chance(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

// pause simulates latency: mostly short, sometimes long.
func (m *model) pause() {
	while := time.Duration(m.chance(2000)) * time.Microsecond
	if m.chance(20) == 0 {
		while *= 20
	}
	time.Sleep(while)
}

func (m *model) populate(ctx context.Context) {
	for i := range lives {
		s := &ticketstore.Session{
			Key: ticketstore.KeyOf(fmt.Sprint("k", i)), SessionID: fmt.Sprint("s", i), SubjectID: "ann",
			Issuer: "https://issuer.example", AuthTime: m.now, Created: m.now, Renewed: m.now,
			Expires: m.now.Add(time.Hour), Ticket: []byte("ticket"),
		}
		if err := m.store.Tickets().Create(ctx, s); err != nil {
			panic(err)
		}
		batch := &grantstore.Batch{OperationID: fmt.Sprint("o", i)}
		for j := range 2 {
			g := grantstore.Grant{
				Ref: grantstore.Ref{
					Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(fmt.Sprint("g", i, j)),
				},
				RequestID: fmt.Sprint("r", i, j), SubjectID: "ann", SessionID: s.SessionID,
				ClientID: fmt.Sprint("c", j), Created: m.now, Expires: m.now.Add(time.Minute),
				Data: []byte("data"),
			}
			m.tokens = append(m.tokens, &token{grant: g, stored: true})
			batch.Store = append(batch.Store, g)
		}
		if _, err := m.store.Grants().Apply(ctx, batch, m.now); err != nil {
			panic(err)
		}
	}
}

// cached is the grants of the current process, behind its cache.
func (m *model) cached() *grantcache.Store {
	return &grantcache.Store{Store: remote{m.store.Grants(), m}, Cache: func() *grantcache.Cache {
		if p := m.serving.Load(); p != nil {
			return p.cache
		}
		return nil
	}}
}

// issue stores new tokens in random sessions. Like tie.Host.Persist, it repeats a batch until there is an
// answer.
func (m *model) issue(ctx context.Context, issuer int) {
	cached := m.cached()
	for n := range issues {
		m.pause()
		like, _ := m.any()
		g := like.grant
		name := fmt.Sprint("issued", issuer, n)
		g.Key, g.RequestID = ticketstore.KeyOf(name), name
		batch := &grantstore.Batch{OperationID: name, Store: []grantstore.Grant{g}}
		m.mu.Lock()
		m.tokens = append(m.tokens, &token{grant: g})
		m.mu.Unlock()
		for range 20 {
			if m.fault == lateWrite { // carried out before the cache records that it is written
				result, err := m.write(ctx, batch)
				m.pause()
				cached.Store = earlyWrite{remote{m.store.Grants(), m}, result, err}
			}
			if _, err := cached.Apply(ctx, batch, m.now); !errors.Is(err, ticketstore.ErrUnavailable) {
				break
			}
			m.pause()
		}
	}
}

// earlyWrite writes before the cache records the write.
type earlyWrite struct {
	remote
	result *grantstore.Result
	err    error
}

func (e earlyWrite) Apply(
	ctx context.Context, _ *grantstore.Batch, _ time.Time,
) (*grantstore.Result, error) {
	if err := e.m.answered(ctx, func() error { return e.err }); err != nil {
		return nil, err
	}
	return e.result, nil
}

// write applies a batch of issue.
func (m *model) write(ctx context.Context, batch *grantstore.Batch) (*grantstore.Result, error) {
	result, err := m.store.Grants().Apply(ctx, batch, m.now)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.tokens {
		t.stored = t.stored || err == nil && t.grant.Key == batch.Store[0].Key
	}
	return result, err
}

// any returns a random token, and whether it is stored yet.
func (m *model) any() (t *token, stored bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t = m.tokens[m.random.IntN(len(m.tokens))]
	return t, t.stored
}

// ask introspects random tokens, also around their expiry, since the clock advances in steps.
func (m *model) ask(ctx context.Context) {
	cached := m.cached()
	for range asks {
		m.pause()
		token, _ := m.any()
		now := m.now.Add(time.Duration(m.chance(2)) * 2 * time.Minute)
		asked, started := now, m.step.Add(1)
		if m.fault == unjudged {
			asked = m.now
		}
		if m.fault == lateFill { // the plugin reads before the cache records the read
			found, err := m.store.Grants().Get(ctx, token.grant.Ref, asked)
			m.pause()
			cached.Store = early{remote{m.store.Grants(), m}, found, err}
		}
		found, err := cached.Get(ctx, token.grant.Ref, asked)
		if err != nil || found == nil {
			continue
		}
		m.mu.Lock()
		if token.acked != 0 && started > token.acked {
			m.bad = append(m.bad, fmt.Sprintf("%s was asked about at step %d, ended at %d, and is active",
				token.grant.RequestID, started, token.acked))
		}
		if !now.Before(token.grant.Expires) {
			m.bad = append(m.bad, token.grant.RequestID+" has expired, and is active")
		}
		m.mu.Unlock()
	}
}

// end ends tokens in a random way.
func (m *model) end(ctx context.Context) {
	for n := range ends {
		m.pause()
		m.pause()
		target, stored := m.any()
		way := m.chance(5)
		if !stored {
			way = 0
		}
		g, id := target.grant, fmt.Sprint("end", m.step.Add(1), n)
		var call func() error
		ended := func(other *token) bool { return other == target }
		terminate := &logout.Ending{OperationID: id, SessionID: g.SessionID, Reason: logout.Terminated}
		switch way {
		case 0: // a session ends
			ended = func(other *token) bool { return other.grant.SessionID == g.SessionID }
			call = func() error { return m.terminate(ctx, terminate) }
		case 1: // a client's token number rises
			terminate.KeepSession, terminate.ClientIDs = true, []string{g.ClientID}
			call = func() error {
				m.mu.Lock()
				m.hidden = g.SessionID
				m.mu.Unlock()
				return m.terminate(ctx, terminate)
			}
		case 2: // a token is revoked, or its family
			batch := &grantstore.Batch{OperationID: id, Delete: []grantstore.Ref{g.Ref}}
			if m.chance(2) == 0 {
				batch.Delete, batch.Revoke = nil, []grantstore.Revocation{{RequestID: g.RequestID}}
			}
			call = func() error { _, err := m.store.Grants().Apply(ctx, batch, m.now); return err }
		case 3: // a job ends it and is polled until it is done
			ended = func(other *token) bool { return other.grant.SessionID == g.SessionID }
			var done atomic.Bool
			m.running.Go(func() {
				m.pause()
				_ = m.terminate(ctx, terminate)
				done.Store(true)
			})
			call = func() error {
				if !done.Load() {
					return ticketstore.ErrConflict
				}
				return nil
			}
		case 4: // it is already ended
			call = func() error {
				if _, err := m.store.Grants().Get(ctx, g.Ref, m.now); err == nil {
					return ticketstore.ErrConflict
				}
				return nil
			}
		}
		// Like rpc.Caller, it repeats the call until there is an answer: the first attempt may have
		// succeeded.
		for range 20 {
			if m.answered(ctx, call) == nil {
				m.acknowledge(ended)
				break
			}
			m.pause()
		}
	}
}

func (m *model) terminate(ctx context.Context, ending *logout.Ending) error {
	_, err := m.store.Logout().End(ctx, ending, m.now)
	return err
}

func (m *model) acknowledge(ended func(*token) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.step.Add(1)
	for _, t := range m.tokens {
		if ended(t) && t.acked == 0 {
			t.acked = at
		}
	}
}

// answered makes a call to the current process. Its error means that there was no answer.
func (m *model) answered(ctx context.Context, call func() error) error {
	p := m.serving.Load()
	if p == nil {
		time.Sleep(time.Millisecond)
		return ticketstore.ErrUnavailable
	}
	m.pause()
	if p.dead.Load() {
		return ticketstore.ErrUnavailable
	}
	err := call()
	position := p.Position()
	m.pause()
	if p.dead.Load() && m.chance(2) == 0 {
		return ticketstore.ErrUnavailable
	}
	if m.fault != overtakes {
		if late := p.cache.Await(ctx, position+p.ahead); late != nil {
			return late
		}
	}
	return err
}
