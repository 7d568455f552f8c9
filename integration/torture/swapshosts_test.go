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

// swapAt begins a swap at a host, which is asked again while it cannot be, and returns once the source knows
// of it.
func (p *pair) swapAt(v *victim, from, to string) {
	p.t.Helper()
	before := p.status(from).ID
	p.w.await(p.t, patience, "a swap to begin", func() bool {
		response, err := v.client.Post(v.base+"/admin/backend/swap", "application/json",
			strings.NewReader(`{"backend":"`+to+`"}`))
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusAccepted
	})
	testenv.Eventually(p.t, "the source knows of a swap", func() bool { return p.status(from).ID != before })
}

// settled waits until the swap of a store is over and both hosts serve from what serves then, and returns the
// name of that.
func (p *pair) settled(source, target string) (serving string) {
	p.t.Helper()
	var status *transfer.Status
	testenv.Eventually(p.t, "the swap is over", func() bool {
		status = p.status(source)
		// A host that copies says so each second: one that does not was killed.
		return status.State == transfer.Active || status.State == transfer.Superseded ||
			status.State == transfer.Exporting && status.Silent > 5*time.Second
	})
	serving = source
	if status.State == transfer.Superseded {
		serving = target
	}
	testenv.Eventually(p.t, "both hosts serve from "+serving, func() bool {
		for _, v := range p.victims {
			if said, _ := v.awaitPlugin(); said.Serving != serving {
				return false
			}
		}
		return true
	})
	return serving
}

func (p *pair) status(store string) *transfer.Status {
	p.t.Helper()
	schema := p.victims[0].config.Stores[store]
	look, err := postgres.OpenReadOnly(p.t.Context(), p.store.in(schema).settings(),
		slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = look.Close() }()
	status, err := look.Transfer().Status(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return status
}

// Users work at two hosts while one of them swaps their store: at first undisturbed, so that no call fails,
// then while the one or the other is killed or stands still.
func TestTortureOfSwapsOfTwoHosts(t *testing.T) {
	t.Parallel()
	swaps := number(t, swapsEnv, 4)
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	var further []string
	for range swaps {
		_, another := server.Schema(t)
		further = append(further, another)
	}
	p := newPair(t, sharedTerms, &database{DSN: dsn, Schema: schema}, number(t, usersEnv, 12), further...)
	kinds := []int{hostHangs, bothKilled, pluginKilled, hostKilled}
	p.run(func() {
		source := storeName(0)
		for i := range swaps {
			target := storeName(i + 1)
			p.swapAt(p.victims[i%2], source, target)
			if i > 0 {
				time.Sleep(rand.N(time.Second)) // a random point, not a wait
				p.v = p.victims[rand.IntN(len(p.victims))]
				p.torment(kinds[i%len(kinds)])
			}
			before := source
			if source = p.settled(source, target); i == 0 && source == before {
				t.Error("a swap that nothing disturbed was not made")
			}
			p.w.progress(t, 20)
		}
		p.store = p.store.in(p.victims[0].config.Stores[source])
	})
}
