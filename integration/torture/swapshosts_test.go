//go:build linux

package torture

// Swaps of a shared store, started at one of two hosts.

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

// swapTo requests a swap at a host and reports whether it has begun.
func (v *victim) swapTo(store string) (begun bool) {
	response, err := v.client.Post(v.base+"/admin/backend/swap", "application/json",
		strings.NewReader(`{"backend":"`+store+`"}`))
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusAccepted
}

// swapAt starts a swap at a host, with retries while that is not possible, and returns once the source has
// recorded it.
func (p *pair) swapAt(v *victim, from, to string) {
	p.t.Helper()
	before := ""
	p.until(from, "may be swapped", func(s *transfer.Status) bool {
		before = s.ID
		return v.swapTo(to)
	})
	p.until(from, "knows of a swap", func(s *transfer.Status) bool { return s.ID != before })
}

// swapped swaps a store at a host, with retries after failures.
func (p *pair) swapped(v *victim, from, to string) {
	p.t.Helper()
	p.until(from, "is superseded", func(s *transfer.Status) bool {
		if s.State == transfer.Active {
			v.swapTo(to)
		}
		return superseded(s)
	})
}

// settled waits until the swap of a store has ended and both hosts use the serving store, and returns its
// name.
func (p *pair) settled(source, target string) (serving string) {
	p.t.Helper()
	serving = p.left(source, target)
	p.serve(serving)
	return serving
}

// left waits until the swap of a store has ended, and returns which of the two stores serves.
func (p *pair) left(source, target string) (serving string) {
	p.t.Helper()
	serving = source
	p.until(source, "is in no swap", func(s *transfer.Status) bool {
		if superseded(s) {
			serving = target
		}
		// The swap of a host killed during the copy is ended by the other host after 45 s.
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

// make creates the tables of a store.
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

// until waits until a condition holds for a store's status.
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
			p.t.Fatalf("timeout waiting until %s %s: it is %+v", store, what, status)
		}
	}
}

func superseded(s *transfer.Status) bool { return s.State == transfer.Superseded }

// furtherSchemas are the schemas of stores to swap to.
func furtherSchemas(t *testing.T, server *pgserver.Server, n int) (schemas []string) {
	t.Helper()
	for range n {
		_, schema := server.Schema(t)
		schemas = append(schemas, schema)
	}
	return schemas
}

// Users work at two hosts while one of them swaps their store: first undisturbed, so that no call fails, then
// while either host is killed or stopped.
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

// The network between a host and the database is cut while the other host swaps their store, from before the
// swap or during it. Connections hang rather than fail, so the host learns nothing. It follows when the
// network is restored.
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
				// A transaction of the cut host holds its locks for 10 s, which may make the swap fail.
				p.swapped(swapping, source, target)
				link.Join()
				p.serve(target)
			})
			p.w.progress(t, 20)
		}
		p.store = p.store.in(p.victims[0].config.Stores[storeName(swaps)])
	})
}

// The host that runs the swap is killed with its plugins behind the fence, while the target's step waits for
// a lock. The other host ends the swap, alone or together with a restarted first host, on either store. The
// next swap succeeds.
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
			// It is copying. The step that activates the target is the next one that locks its ledger.
			release := server.Hold(t, "SELECT FROM "+schema+".ledger FOR UPDATE")
			p.until(source, "is fenced", func(s *transfer.Status) bool { return s.State == transfer.Fenced })
			p.harm(v.base, func() {
				v.killAll()
				release()
				if i%2 == 0 { // the other host ends the swap alone
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
