package hostadapter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// swappable configures stores named after their folders.
func swappable(t *testing.T, names ...string) func(*hostadapter.Config) {
	t.Helper()
	return swappableIn(t.TempDir(), names...)
}

func swappableIn(folder string, names ...string) func(*hostadapter.Config) {
	noSync := false
	return func(c *hostadapter.Config) {
		c.Swap.Backends = map[string]func(context.Context) (sessions.Backend, error){}
		for _, name := range names {
			c.Swap.Backends[name] = func(ctx context.Context) (sessions.Backend, error) {
				return badger.Open(ctx,
					badger.Settings{Path: filepath.Join(folder, name), Sync: &noSync, MemoryMiB: 64},
					slog.New(slog.DiscardHandler))
			}
		}
		c.Backend, c.Swap.BackendName = nil, names[0]
	}
}

// swap starts a swap and waits for its end.
func (h *host) swap(name string) *hostadapter.SwapState {
	h.t.Helper()
	var id string
	testenv.Eventually(h.t, "the previous swap has ended", func() (began bool) {
		var err error
		if id, err = h.Operations().Swap(h.t.Context(), name); err != nil &&
			!strings.Contains(err.Error(), "another swap is under way") {
			h.t.Fatalf("Swap: %v", err)
		}
		return err == nil
	})
	return h.swapped(id)
}

func (h *host) swapped(id string) (state *hostadapter.SwapState) {
	h.t.Helper()
	testenv.Eventually(h.t, "the swap ended", func() bool {
		var err error
		if state, err = h.Operations().SwapByID(h.t.Context(), id); err != nil {
			h.t.Fatal(err)
		}
		return !state.Finished.IsZero()
	})
	return state
}

func TestSwapKeepsUsersSignedIn(t *testing.T) {
	t.Parallel()
	h := newHost(t, swappable(t, "old", "new", "newer"))
	b := h.browser()
	s := b.signIn(hostadapter.Identity{Subject: "ann"})
	h.use(s.SessionID, "photos")
	for _, name := range []string{"new", "newer"} {
		if state := h.swap(name); state.Err != nil || state.Progress.Phase != transfer.Done ||
			h.Operations().BackendName() != name {
			t.Fatalf("swap %+v, backend %q", state, h.Operations().BackendName())
		}
		b.mustBe("ann")
	}
	// The replaced store is not empty.
	if names := h.Operations().BackendNames(); !slices.Equal(names, []string{"newer"}) {
		t.Errorf("backends %v, want only the serving one", names)
	}
	if err := b.signOut(); err != nil {
		t.Fatal(err)
	}
	if n := h.notifications(); len(n) != 1 {
		t.Fatalf("%d notifications, want one", len(n))
	}
}

func TestSwapIsRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t, swappable(t, "old", "full"), func(c *hostadapter.Config) {
		c.Swap.Backends["broken"] = func(context.Context) (sessions.Backend, error) {
			return nil, errors.New("no disk")
		}
		full, err := c.Swap.Backends["full"](t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := ticketstore.Session{
			Key: ticketstore.KeyOf("x"), SessionID: "x", SubjectID: "x", Issuer: issuer,
			AuthTime: newClock().Now(),
			Created:  newClock().Now(), Renewed: newClock().Now(), Expires: newClock().Now().Add(time.Hour),
			Ticket: []byte("x"),
		}
		if err := errors.Join(full.Tickets().Create(t.Context(), &s), full.Close()); err != nil {
			t.Fatal(err)
		}
	})
	for name, c := range map[string]struct {
		to   string
		want error
	}{
		"to itself": {"old", hostadapter.ErrSwap}, "not empty": {"full", hostadapter.ErrSwap},
		"not configured": {"x", ticketstore.ErrNotFound},
		"no name":        {"", ticketstore.ErrInvalid}, "cannot be opened": {"broken", hostadapter.ErrSwap},
	} {
		if _, err := h.Operations().Swap(t.Context(), c.to); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	h.browser().signIn(hostadapter.Identity{Subject: "ann"})
}

func TestSwapUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHost(t, swappable(t, "old", "new"))
	stop := make(chan struct{})
	var done atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	live := map[string]bool{}
	for i := range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				b := h.browser()
				session, err := b.trySignIn(hostadapter.Identity{Subject: "ann"})
				if err != nil {
					t.Errorf("sign in: %v", err)
					return
				}
				if got, err := b.session(); err != nil || got == nil {
					t.Errorf("session %v, error %v", got, err)
					return
				}
				if i%2 == 0 {
					_, err = h.RemoveSessions(t.Context(),
						hostadapter.SessionRemoval{SessionID: session.SessionID})
				} else {
					mu.Lock()
					live[session.SessionID] = true
					mu.Unlock()
				}
				if err != nil {
					t.Errorf("remove: %v", err)
					return
				}
				done.Add(1)
			}
		})
	}
	testenv.Eventually(t, "there is load", func() bool { return done.Load() > 200 })
	state := h.swap("new")
	after := done.Load()
	testenv.Eventually(t, "the load continues", func() bool { return done.Load() > after+100 || t.Failed() })
	close(stop)
	wg.Wait()
	if state.Err != nil || h.Operations().BackendName() != "new" {
		t.Fatalf("swap: %v", state.Err)
	}
	found := map[string]bool{}
	for query := (ticketstore.SessionQuery{Count: ticketstore.MaxCount}); ; {
		page, err := h.QuerySessions(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Sessions {
			found[page.Sessions[i].SessionID] = true
		}
		if query.ResultsToken = page.ResultsToken; !page.HasNext {
			break
		}
	}
	if len(found) != len(live) {
		t.Errorf("%d sessions, want the %d that were not removed", len(found), len(live))
	}
	for sid := range live {
		if !found[sid] {
			t.Errorf("session %s is lost", sid)
		}
	}
}

func TestHostStartsOnTheServingBackend(t *testing.T) {
	t.Parallel()
	h := newHost(t, swappable(t, "old", "new"))
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	if state := h.swap("new"); state.Err != nil {
		t.Fatal(state.Err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.start() // with the configuration from before the swap
	if h.Operations().BackendName() != "new" {
		t.Fatalf("the host serves from %q, want new", h.Operations().BackendName())
	}
	b.mustBe("ann")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	// The source must not serve instead of the target that its data was moved to.
	lost := h.config
	lost.Swap.Backends = map[string]func(context.Context) (
		sessions.Backend, error,
	){"old": h.config.Swap.Backends["old"]}
	var missing *hostadapter.MissingBackendError
	if _, err := hostadapter.New(t.Context(), lost); !errors.As(err, &missing) || missing.Name != "new" {
		t.Errorf("a start without the serving backend configured: %v, want MissingBackendError", err)
	}
}

// delivery is a delivery in flight until answer is closed: it delays the switch of a swap.
type delivery struct{ posted, answer chan struct{} }

func newDelivery() *delivery { return &delivery{make(chan struct{}), make(chan struct{})} }

func (d *delivery) configure(c *hostadapter.Config) {
	c.Signer = signerFunc(func(ctx context.Context) {
		close(d.posted)
		select {
		case <-d.answer:
		case <-ctx.Done():
		}
	})
	c.Clients = logout.ClientMap{"photos": {BackChannelLogoutURI: "https://photos.example/logout"}}
}

// begin starts the delivery at a host.
func (d *delivery) begin(h *host) {
	h.t.Helper()
	b := h.browser()
	h.use(b.signIn(hostadapter.Identity{Subject: "ann"}).SessionID, "photos")
	if err := b.signOut(); err != nil {
		h.t.Fatal(err)
	}
	<-d.posted
}

func TestSwapIsAborted(t *testing.T) {
	t.Parallel()
	delivery := newDelivery()
	h := newHost(t, swappable(t, "old", "new"), delivery.configure)
	delivery.begin(h)
	id, err := h.Operations().Swap(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Operations().Swap(t.Context(), "new"); !errors.Is(err, hostadapter.ErrSwap) {
		t.Errorf("a second swap: %v, want ErrSwap", err)
	}
	if err := h.Operations().Backup(t.Context(), unwritten{t}); !errors.Is(err, hostadapter.ErrBackup) {
		t.Errorf("a backup meanwhile: %v, want ErrBackup", err)
	}
	testenv.Eventually(t, "everything is copied", func() bool {
		state, err := h.Operations().SwapByID(t.Context(), id)
		return err == nil && state.Progress.Phase == transfer.CatchingUp
	})
	swap := h.Operations().BackendStatus(t.Context()).Swap
	if swap == nil || swap.ID != id || swap.To != "new" {
		t.Errorf("the status has the swap %+v, want the running one", swap)
	}
	if err := h.Operations().AbortSwap(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	state := h.swapped(id)
	close(delivery.answer)
	if swap := h.Operations().BackendStatus(t.Context()).Swap; swap != nil {
		t.Errorf("the status has the swap %+v, which is over", swap)
	}
	if state.Progress.Phase != transfer.Aborted || state.Err == nil || h.Operations().BackendName() != "old" {
		t.Fatalf("swap %+v, backend %q", state, h.Operations().BackendName())
	}
	for id, want := range map[string]error{id: hostadapter.ErrSwap, "unknown": ticketstore.ErrNotFound} {
		if err := h.Operations().AbortSwap(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("aborting %q: %v, want %v", id, err, want)
		}
	}
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "bob"})
	if state := h.swap("new"); state.Err != nil {
		t.Fatalf("swap after an aborted one: %v", state.Err)
	}
	b.mustBe("bob")
}

// Every host reports a swap from its start, because a load balancer may route a poll to any of them. Only
// the host that runs the swap can abort it.
func TestSwapStatusAtAnotherHost(t *testing.T) {
	t.Parallel()
	d, delivery := newDatabase(t, "old", "new"), newDelivery()
	first := d.hostWith(delivery.configure, "new")
	delivery.begin(first)
	other := d.host("new")
	other.clock.advance(time.Second)
	id, err := first.Operations().Swap(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	first.Operations().FollowJob(t.Context(), id, nil, func(*hostadapter.JobEnd) {})
	var told *hostadapter.SwapState
	testenv.Eventually(t, "the store records the swap", func() bool { // Swap waits for that, for a while
		told, err = other.Operations().SwapByID(t.Context(), id)
		return !errors.Is(err, ticketstore.ErrNotFound)
	})
	if err != nil || told.From != "old" || told.To != "new" || !told.Followed || !told.Finished.IsZero() ||
		told.Progress.Phase != transfer.Copying || told.Progress.Total >= 0 ||
		!told.Started.Equal(first.clock.Now()) {
		t.Errorf("the swap of another host is reported as %+v, error %v", told, err)
	}
	if err := other.Operations().AbortSwap(t.Context(), id); !errors.Is(err, hostadapter.ErrSwap) {
		t.Errorf("an abort at a host that does not run the swap: %v, want ErrSwap", err)
	}
	for what, err := range map[string]error{
		"reading": second(other.Operations().SwapByID(t.Context(), "nothing")),
		"abort":   other.Operations().AbortSwap(t.Context(), "nothing"),
	} {
		if !errors.Is(err, ticketstore.ErrNotFound) {
			t.Errorf("%s an unknown swap: %v, want ErrNotFound", what, err)
		}
	}
	close(delivery.answer)
	testenv.Eventually(t, "the swap is done at the other host", func() bool {
		told, err := other.Operations().SwapByID(t.Context(), id)
		if errors.Is(err, ticketstore.ErrNotFound) {
			t.Fatal("the swap is no longer known")
		}
		return err == nil && told.Progress.Phase == transfer.Done && !told.Finished.IsZero()
	})
}

// A host that begins to follow a swap reports it. If the store does not answer, the swap is not reported as
// unknown (rule 4).
func TestSwapStatusWhileTheHostFollows(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(ctx context.Context, o *hostadapter.Operations, id string) error{
		"reading": func(ctx context.Context, o *hostadapter.Operations, id string) error {
			told, err := o.SwapByID(ctx, id)
			if err == nil && told.Progress.Phase != transfer.Done {
				return fmt.Errorf("it is reported as %+v", told)
			}
			return err
		},
		"abort": func(ctx context.Context, o *hostadapter.Operations, id string) error {
			if err := o.AbortSwap(ctx, id); !errors.Is(err, hostadapter.ErrSwap) {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, delivery := newDatabase(t, "old", "new"), newDelivery()
			first := d.hostWith(delivery.configure, "new")
			delivery.begin(first)
			other := d.hostWith(func(c *hostadapter.Config) {
				opens := c.Swap.Backends["old"]
				c.Swap.Backends["old"] = func(ctx context.Context) (sessions.Backend, error) {
					opened, err := opens(ctx)
					return statusless{opened}, err
				}
			}, "new")
			id, err := first.Operations().Swap(t.Context(), "new")
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.WithValue(t.Context(), meanwhileKey{}, func() {})
			if err := ask(ctx, other.Operations(), id); !errors.Is(err, ticketstore.ErrUnavailable) {
				t.Errorf("the store does not answer: %v, want ErrUnavailable", err)
			}
			ctx = context.WithValue(t.Context(), meanwhileKey{}, func() {
				close(delivery.answer)
				testenv.Eventually(t, "the other host has followed", func() bool {
					told, err := other.Operations().SwapByID(t.Context(), id)
					return err == nil && !told.Finished.IsZero()
				})
			})
			if err := ask(ctx, other.Operations(), id); err != nil {
				t.Error(err)
			}
		})
	}
}

// statusless fails calls of Status whose context carries a function, after calling that function.
type statusless struct{ sessions.Backend }

type (
	statuslessStore struct{ transfer.Store }
	meanwhileKey    struct{}
)

func (b statusless) Transfer() transfer.Store {
	return statuslessStore{b.Backend.(interface{ Transfer() transfer.Store }).Transfer()}
}

func (s statuslessStore) Status(ctx context.Context) (*transfer.Status, error) {
	if meanwhile, ok := ctx.Value(meanwhileKey{}).(func()); ok {
		meanwhile()
		return nil, ticketstore.ErrUnavailable
	}
	return s.Store.Status(ctx)
}

type signerFunc func(ctx context.Context)

func (f signerFunc) Sign(ctx context.Context, _ []byte) (string, error) {
	f(ctx)
	return "", errors.New("no key")
}

// After the switch a swap cannot be aborted, even while a call is in flight on the replaced backend.
func TestSwapCannotBeAbortedAfterItsSwitch(t *testing.T) {
	t.Parallel()
	var old *backend
	h := newHost(t, swappable(t, "old", "new"), func(c *hostadapter.Config) {
		open := c.Swap.Backends["old"]
		c.Swap.Backends["old"] = func(ctx context.Context) (sessions.Backend, error) {
			opened, err := open(ctx)
			old = &backend{
				Backend: opened, calls: map[string]int{}, faults: map[string][]fault{},
				hooks: map[string]func(){},
			}
			return old, err
		}
	})
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	entered, leave := make(chan struct{}), make(chan struct{})
	old.before("Get", func() { close(entered); <-leave })
	var reading sync.WaitGroup
	reading.Go(func() { b.mustBe("ann") })
	<-entered
	id, err := h.Operations().Swap(t.Context(), "new")
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the new backend serves", func() bool {
		return h.Operations().BackendName() == "new"
	})
	if err := h.Operations().AbortSwap(t.Context(), id); !errors.Is(err, hostadapter.ErrSwap) {
		t.Errorf("an abort after the switch: %v, want ErrSwap", err)
	}
	close(leave)
	reading.Wait()
	if state := h.swapped(id); state.Err != nil {
		t.Errorf("the swap ended with %v", state.Err)
	}
}
