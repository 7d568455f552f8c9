package hostadapter_test

// Swaps of a store that several hosts share (rules 12 and 14).

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/memory"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/postgres"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

// database resolves the names of shared stores.
type database struct {
	t      *testing.T
	stores map[string]postgres.Settings
}

func newDatabase(t *testing.T, names ...string) *database {
	t.Helper()
	d := &database{t, map[string]postgres.Settings{}}
	for _, name := range names {
		dsn, schema := pgserver.Shared(t).Schema(t)
		d.stores[name] = postgres.Settings{DSN: dsn, Schema: schema}
	}
	return d
}

// opens returns a function that opens a store as a host does.
func (d *database) opens(name string) func(context.Context) (sessions.Backend, error) {
	return func(ctx context.Context) (sessions.Backend, error) {
		return postgres.Open(ctx, d.stores[name], slog.New(slog.DiscardHandler))
	}
}

// host starts a host on the store "old" that has the other stores in its configuration.
func (d *database) host(others ...string) *host {
	d.t.Helper()
	return d.hostWith(func(*hostadapter.Config) {}, others...)
}

func (d *database) hostWith(configure func(*hostadapter.Config), others ...string) *host {
	d.t.Helper()
	return newHost(d.t, func(c *hostadapter.Config) {
		c.Backend, c.Swap.BackendName = nil, "old"
		c.Swap.Backends = map[string]func(context.Context) (sessions.Backend, error){"old": d.opens("old")}
		for _, name := range others {
			c.Swap.Backends[name] = d.opens(name)
		}
		c.Pins = &pins{}
	}, configure)
}

// exec executes a statement in the schema of a store.
func (d *database) exec(name, statement string) {
	d.t.Helper()
	pgserver.Shared(d.t).Exec(d.t, strings.ReplaceAll(statement, "{s}", d.stores[name].Schema))
}

// serves waits until a host serves from a store.
func (h *host) serves(name string) {
	h.t.Helper()
	testenv.Eventually(h.t, "a host serves from "+name, func() bool {
		return h.Operations().BackendName() == name
	})
}

// work makes users sign in, be recognized and sign out at the hosts in turn until stop. Any failure fails the
// test.
func work(t *testing.T, hosts ...*host) (goesOn func(), stop func()) {
	t.Helper()
	var done atomic.Int64
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 2 * len(hosts) {
		wg.Go(func() {
			for n := i; !t.Failed(); n++ {
				select {
				case <-stopped:
					return
				default:
				}
				at, then := hosts[n%len(hosts)], hosts[(n+1)%len(hosts)]
				if err := visit(at, then, fmt.Sprintf("user %d", i)); err != nil {
					t.Error(err)
				}
				done.Add(1)
			}
		})
	}
	goesOn = func() {
		t.Helper()
		before := done.Load()
		testenv.Eventually(t, "users go on", func() bool {
			return done.Load() > before+int64(4*len(hosts)) || t.Failed()
		})
	}
	goesOn()
	return goesOn, func() {
		close(stopped)
		wg.Wait()
		t.Logf("%d visits", done.Load())
	}
}

// visit signs a user in at one host, checks the session at the other one, and signs out there.
func visit(at, then *host, subject string) error {
	b := at.browser()
	if _, err := b.trySignIn(hostadapter.Identity{Subject: subject}); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	for _, h := range []*host{then, at, then} {
		b.h = h
		if s, err := b.session(); err != nil || s == nil {
			return fmt.Errorf("session %v, error %w", s, err)
		}
	}
	if err := b.signOut(); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	b.h = at
	if s, err := b.session(); err != nil || s != nil {
		return fmt.Errorf("after the sign-out at another host: session %v, error %w", s, err)
	}
	return nil
}

// A swap started at one of three hosts is followed by the others, while users work at all of them.
func TestHostsFollowASwap(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "old", "new", "newer")
	names := []string{"new", "newer"}
	hosts := []*host{d.host(names...), d.host(names...), d.host(names...)}
	ann := hosts[0].browser()
	ann.signIn(hostadapter.Identity{Subject: "ann"})
	goesOn, stop := work(t, hosts...)
	for i, name := range names {
		state := hosts[i].swap(name) // each time at another one
		if state.Err != nil || state.Progress.Phase != transfer.Done {
			t.Fatalf("swap to %s: %+v", name, state)
		}
		for _, h := range hosts {
			h.serves(name)
			testenv.Eventually(t, "a host has followed", func() bool {
				seen, err := h.Operations().SwapByID(t.Context(), state.ID)
				return err == nil && !seen.Finished.IsZero() && seen.Err == nil &&
					seen.Followed == (h != hosts[i])
			})
			if err := h.Ready(t.Context()); err != nil {
				t.Errorf("afterwards a host is not ready: %v", err)
			}
		}
		status := hosts[0].Operations().BackendStatus(t.Context())
		if status.Err != nil || status.Trouble != "" || len(status.Hosts) != len(hosts) {
			t.Errorf("afterwards the backend is %+v", status)
		}
		goesOn()
	}
	stop()
	for _, h := range hosts {
		ann.h = h
		ann.mustBe("ann")
		kept, err := h.config.Pins.Pinned(t.Context())
		if err != nil || len(kept) != 3 || kept[2].Name != "newer" || kept[2].Left || !kept[1].Left {
			t.Errorf("pinned are %v, error %v", kept, err)
		}
	}
	err := hosts[2].Operations().AbortSwap(t.Context(), "nothing")
	if !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("abort an unknown swap: %v", err)
	}
}

// A host that is stopped while the others swap, twice, follows when it starts with its old configuration.
func TestHostFollowsAtStart(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "old", "new", "newer")
	first, second := d.host("new", "newer"), d.host("new", "newer")
	b := second.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new", "newer"} {
		if state := first.swap(name); state.Err != nil {
			t.Fatal(state.Err)
		}
	}
	second.start()
	second.serves("newer")
	b.mustBe("ann")
}

// A host whose configuration lacks the target, or has a different store under its name, refuses all calls at
// once with an error that says what to do. No store is created in place of the target.
func TestHostCannotFollow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		configure func(d *database, c *hostadapter.Config)
		want      string
	}{
		"the store is not configured": {
			func(_ *database, c *hostadapter.Config) { delete(c.Swap.Backends, "new") },
			`backend "new" is not among Config.Swap.Backends: configure it as at the other hosts`,
		},
		"another store has its name": {
			func(d *database, c *hostadapter.Config) { c.Swap.Backends["new"] = d.opens("elsewhere") },
			"configure it as at the other hosts",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, "old", "new", "elsewhere")
			first, second := d.host("new"), d.host("new")
			right := second.config
			right.Swap.Backends = map[string]func(context.Context) (sessions.Backend, error){
				"old": d.opens("old"), "new": d.opens("new"),
			}
			c.configure(d, &second.config) // the map is that of the adapter
			b := second.browser()
			b.signIn(hostadapter.Identity{Subject: "ann"})
			if state := first.swap("new"); state.Err != nil {
				t.Fatal(state.Err)
			}
			testenv.Eventually(t, "the host says why it serves nothing", func() bool {
				began := time.Now()
				_, err := b.session()
				return err != nil && strings.Contains(err.Error(), c.want) &&
					time.Since(began) < 2*time.Second
			})
			_, err := b.session()
			status := second.Operations().BackendStatus(t.Context())
			for what, err := range map[string]error{
				"a call": err, "Ready": second.Ready(t.Context()), "the status": status.Err,
			} {
				if err == nil || !strings.Contains(err.Error(), c.want) ||
					!strings.Contains(err.Error(), `another host has swapped "old" to "new"`) {
					t.Errorf("%s: %v, want one that says %q", what, err, c.want)
				}
			}
			if !errors.Is(err, ticketstore.ErrUnavailable) {
				t.Errorf("a call: %v, want ErrUnavailable", err)
			}
			vacant, err := postgres.Vacant(t.Context(), d.stores["elsewhere"])
			if err != nil || !vacant {
				t.Errorf("there is a store under the wrong name, error %v", err)
			}
			if err := second.Close(); err != nil {
				t.Error(err)
			}
			second.config = right
			second.start()
			second.serves("new")
			b.mustBe("ann")
		})
	}
}

// lose makes a host begin a swap, take the given steps on source and target, and stop.
func (d *database) lose(steps ...transfer.State) {
	d.t.Helper()
	var stores [2]transfer.Store
	turn := transfer.Transition{ID: "lost", Peer: "new", Followed: true}
	for i, name := range []string{"old", "new"} {
		opened, err := d.opens(name)(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		defer func() { _ = opened.Close() }()
		stores[i] = opened.(interface{ Transfer() transfer.Store }).Transfer()
		description, err := opened.Describe(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		turn.PeerStore = description.StoreID
	}
	for _, turn.To = range steps {
		store := stores[0]
		if turn.To == transfer.Importing || turn.To == transfer.Active {
			store = stores[1]
		}
		if err := store.Become(d.t.Context(), turn); err != nil {
			d.t.Fatalf("become %s: %v", turn.To, err)
		}
	}
	d.exec("old", "UPDATE {s}.ledger SET moved = moved - 3600000000000") // it is silent
}

// The other hosts end the swap of a lost host: nothing was moved before the target was active.
func TestSwapOfALostHost(t *testing.T) {
	t.Parallel()
	steps := []transfer.State{
		transfer.Exporting, transfer.Importing, transfer.Fenced, transfer.Active, transfer.Superseded,
	}
	for name, c := range map[string]struct {
		steps []transfer.State
		want  string
	}{
		"while it copies":      {steps[:2], "old"},
		"behind the fence":     {steps[:3], "old"},
		"behind the switch":    {steps[:4], "new"},
		"behind the last step": {steps, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDatabase(t, "old", "new", "newer")
			second, third := d.host("new", "newer"), d.host("new", "newer")
			d.lose(c.steps...)
			for _, h := range []*host{second, third} {
				h.browser().signIn(hostadapter.Identity{Subject: "ann"}) // waits where it has to
				h.serves(c.want)
			}
			// The next swap must go to an empty store.
			if state := second.swap("newer"); state.Err != nil {
				t.Fatal(state.Err)
			}
			third.serves("newer")
		})
	}
}

// A store whose move was lost stops journaling, even if no other swap begins.
func TestLostMoveIsEnded(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "old", "new")
	d.host("new")
	d.lose(transfer.Exporting, transfer.Importing)
	opened, err := d.opens("old")(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	store := opened.(interface{ Transfer() transfer.Store }).Transfer()
	testenv.Eventually(t, "the store is not exported any more", func() bool {
		status, err := store.Status(t.Context())
		return err == nil && status.State == transfer.Active
	})
}

// If two hosts begin a swap, one makes it and the other follows.
func TestTwoHostsBeginASwap(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "old", "new")
	hosts := []*host{d.host("new"), d.host("new")}
	goesOn, stop := work(t, hosts...)
	ids := make([]string, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		wg.Go(func() {
			var err error
			if ids[i], err = h.Operations().Swap(t.Context(), "new"); err != nil &&
				!errors.Is(err, hostadapter.ErrSwap) {
				t.Errorf("swap: %v", err)
			}
		})
	}
	wg.Wait()
	won := 0
	for i, h := range hosts {
		if ids[i] == "" {
			continue
		}
		state := h.swapped(ids[i])
		if state.Err == nil {
			won++
		} else if !errors.Is(state.Err, transfer.ErrState) && !errors.Is(state.Err, transfer.ErrHosts) {
			t.Errorf("the swap that lost: %v", state.Err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %q have made the swap, want one", won, ids)
	}
	for _, h := range hosts {
		h.serves("new")
	}
	goesOn()
	stop()
}

// A host that swaps gets an error about the other hosts if the target is not shared, or a swap is running.
func TestSwapBesideOtherHostsIsRefused(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, "old", "new")
	first, second := d.host("new", "own"), d.host("new")
	first.config.Swap.Backends["own"] = func(context.Context) (sessions.Backend, error) {
		return memory.New(), nil
	}
	_, err := first.Operations().Swap(t.Context(), "own")
	if !errors.Is(err, hostadapter.ErrSwap) || !errors.Is(err, transfer.ErrHosts) ||
		!strings.Contains(err.Error(), " (version ") {
		t.Errorf("swap to a store that is not shared: %v, want one that names the other host", err)
	}
	source := first.Serving().(interface{ Transfer() transfer.Store }).Transfer()
	turn := transfer.Transition{To: transfer.Exporting, ID: "other", Peer: "new", Followed: true}
	if err := source.Become(t.Context(), turn); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Operations().Swap(t.Context(), "new"); !errors.Is(err, hostadapter.ErrSwap) ||
		!strings.Contains(err.Error(), `another host swaps "old" to "new"`) {
		t.Errorf("swap while another host swaps: %v", err)
	}
	d.exec("old", "UPDATE {s}.ledger SET moved = moved - 3600000000000")
	if state := first.swap("new"); state.Err != nil {
		t.Errorf("swap after the other host was lost: %v", state.Err)
	}
	second.serves("new")
}
