//go:build linux

package torture

// Swaps of a store that two hosts share, begun at one of them.

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/postgres"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// swapTo asks a host for a swap, and reports whether it has begun.
func (v *victim) swapTo(store string) (begun bool) {
	response, err := v.client.Post(v.base+"/admin/backend/swap", "application/json",
		strings.NewReader(`{"backend":"`+store+`"}`))
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusAccepted
}

// swapAt begins a swap at a host, which is asked again while it cannot be, and returns once the source knows
// of it.
func (p *pair) swapAt(v *victim, from, to string) {
	p.t.Helper()
	before := ""
	p.until(from, "may be swapped", func(s *transfer.Status) bool {
		before = s.ID
		return v.swapTo(to)
	})
	p.until(from, "knows of a swap", func(s *transfer.Status) bool { return s.ID != before })
}

// swapped has a host swap a store, again where that fails, until it is done.
func (p *pair) swapped(v *victim, from, to string) {
	p.t.Helper()
	p.until(from, "is superseded", func(s *transfer.Status) bool {
		if s.State == transfer.Active {
			v.swapTo(to)
		}
		return superseded(s)
	})
}

// settled waits until the swap of a store is over and both hosts serve from what serves then, and returns the
// name of that.
func (p *pair) settled(source, target string) (serving string) {
	p.t.Helper()
	serving = p.left(source, target)
	p.serve(serving)
	return serving
}

// left waits until the swap of a store is over, and returns which of the two it leaves to serve.
func (p *pair) left(source, target string) (serving string) {
	p.t.Helper()
	serving = source
	p.until(source, "is in no swap", func(s *transfer.Status) bool {
		if superseded(s) {
			serving = target
		}
		// One that was killed while it copied is ended by the other after 45 s.
		return s.State == transfer.Active || superseded(s)
	})
	return serving
}

// serve waits until both hosts serve from a store.
func (p *pair) serve(store string) {
	p.t.Helper()
	testenv.Eventually(p.t, "both hosts serve from "+store, func() bool {
		for _, v := range p.victims {
			if said, _ := v.awaitPlugin(); said.Serving != store {
				return false
			}
		}
		return true
	})
}

// make makes the tables of a store.
func (p *pair) make(schema string) {
	p.t.Helper()
	made, err := postgres.Open(p.t.Context(), p.store.in(schema).settings(), slog.New(slog.DiscardHandler))
	if err == nil {
		err = made.Close()
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// until waits until a condition holds for what a store says of itself.
func (p *pair) until(store, what string, holds func(s *transfer.Status) bool) {
	p.t.Helper()
	look, err := postgres.OpenReadOnly(p.t.Context(),
		p.store.in(p.victims[0].config.Stores[store]).settings(), slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = look.Close() }()
	for deadline := time.Now().Add(2 * patience); ; time.Sleep(5 * time.Millisecond) {
		status, err := look.Transfer().Status(p.t.Context())
		switch {
		case err != nil:
			p.t.Fatal(err)
		case holds(status):
			return
		case time.Now().After(deadline):
			p.t.Fatalf("gave up waiting until %s %s: it is %+v", store, what, status)
		}
	}
}

func superseded(s *transfer.Status) bool { return s.State == transfer.Superseded }

// furtherSchemas are those of stores to swap to.
func furtherSchemas(t *testing.T, server *pgserver.Server, n int) (schemas []string) {
	t.Helper()
	for range n {
		_, schema := server.Schema(t)
		schemas = append(schemas, schema)
	}
	return schemas
}

// Users work at two hosts while one of them swaps their store: at first undisturbed, so that no call fails,
// then while the one or the other is killed or stands still.
func TestTortureOfSwapsOfTwoHosts(t *testing.T) {
	t.Parallel()
	swaps := number(t, swapsEnv, 4)
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	p := newPair(t, sharedTerms, &database{DSN: dsn, Schema: schema}, number(t, usersEnv, 12),
		furtherSchemas(t, server, swaps)...)
	kinds := []int{hostHangs, bothKilled, pluginKilled, hostKilled}
	p.run(func() {
		source := storeName(0)
		for i := range swaps {
			target := storeName(i + 1)
			if i == 0 {
				p.swapped(p.victims[0], source, target)
			} else {
				p.swapAt(p.victims[i%2], source, target)
				time.Sleep(rand.N(time.Second)) // a random point, not a wait
				p.v = p.victims[rand.IntN(len(p.victims))]
				p.torment(kinds[i%len(kinds)])
			}
			source = p.settled(source, target)
			p.w.progress(t, 20)
		}
		p.store = p.store.in(p.victims[0].config.Stores[source])
	})
}

// The way of a host to the database is cut while the other one swaps their store, from before the swap or in
// the midst of it. Nothing is refused there, so that the host learns nothing. It follows when the way is
// whole again.
func TestTortureOfAHostThatIsCutOffInASwap(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	link := server.Link(t)
	swaps := number(t, swapsEnv, 1)
	p := newPairOver(t, sharedTerms,
		[]*database{{DSN: dsn, Schema: schema}, {DSN: link.DSN(), Schema: schema}},
		number(t, usersEnv, 12), furtherSchemas(t, server, swaps)...)
	swapping, cut := p.victims[0], p.victims[1]
	p.run(func() {
		for i := range swaps {
			source, target := storeName(i), storeName(i+1)
			if oneIn(2) {
				p.swapAt(swapping, source, target)
				time.Sleep(rand.N(200 * time.Millisecond)) // a random point, not a wait
			}
			p.harm(cut.base, func() {
				link.Cut()
				// What the cut host has begun holds locks for 10 s, and may have the swap fail.
				p.swapped(swapping, source, target)
				link.Join()
				p.serve(target)
			})
			p.w.progress(t, 20)
		}
		p.store = p.store.in(p.victims[0].config.Stores[storeName(swaps)])
	})
}

// The host that swaps is killed with its plugins behind the fence, while the target's step waits for a lock.
// The other one ends the swap, alone or beside one that is started in the place of the first, whichever store
// it leaves; and the swap that follows is made.
func TestTortureOfAHostThatIsKilledAtItsSwitch(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	swaps := number(t, swapsEnv, 2)
	p := newPair(t, sharedTerms, &database{DSN: dsn, Schema: schema}, number(t, usersEnv, 12),
		furtherSchemas(t, server, swaps+1)...)
	p.run(func() {
		source := storeName(0)
		for i := range swaps {
			target, v := storeName(i+1), p.victims[i%2]
			schema := v.config.Stores[target]
			p.make(schema)
			p.swapAt(v, source, target)
			// It copies. The step that has the target serve is the next one that locks its ledger.
			letGo := server.Hold(t, "SELECT FROM "+schema+".ledger FOR UPDATE")
			p.until(source, "is fenced", func(s *transfer.Status) bool { return s.State == transfer.Fenced })
			p.harm(v.base, func() {
				v.killAll()
				letGo()
				if i%2 == 0 { // the other one ends the swap alone
					p.left(source, target)
				}
				v.restart()
				source = p.settled(source, target)
			})
			p.w.progress(t, 20)
		}
		last := storeName(swaps + 1)
		p.swapped(p.victims[0], source, last)
		p.serve(last)
		p.store = p.store.in(p.victims[0].config.Stores[last])
	})
}
