package hostadapter_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// pins records the pinned stores in order. A test may make one call fail.
type pins struct {
	mu     sync.Mutex
	was    [][]hostadapter.PinnedStore
	refuse func(stores []hostadapter.PinnedStore) error
}

func (p *pins) Pinned(context.Context) ([]hostadapter.PinnedStore, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.was) == 0 {
		return nil, nil
	}
	return slices.Clone(p.was[len(p.was)-1]), nil
}

func (p *pins) Pin(_ context.Context, stores []hostadapter.PinnedStore) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		if err := p.refuse(stores); err != nil {
			return err
		}
	}
	p.was = append(p.was, slices.Clone(stores))
	return nil
}

// mustBe compares the pinned stores by name; "-" marks a store that was left.
func (p *pins) mustBe(t *testing.T, want ...[]string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var got [][]string
	ids := map[string]string{}
	for _, stores := range p.was {
		var names []string
		for _, s := range stores {
			if before, known := ids[s.Name]; s.StoreID == "" || known && before != s.StoreID {
				t.Errorf("%s was pinned as %q, and as %q before", s.Name, s.StoreID, before)
			}
			ids[s.Name] = s.StoreID
			if s.Left {
				s.Name = "-" + s.Name
			}
			names = append(names, s.Name)
		}
		got = append(got, names)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pinned (-want +got):\n%s", diff)
	}
}

// pinnedHost returns a host with pins and stores of these names.
func pinnedHost(t *testing.T, names ...string) (*host, *pins) {
	t.Helper()
	p := &pins{}
	return newHost(t, swappable(t, names...), func(c *hostadapter.Config) { c.Pins = p }), p
}

func TestPinsFollowASwap(t *testing.T) {
	t.Parallel()
	h, p := pinnedHost(t, "old", "new", "newer")
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	for _, name := range []string{"new", "newer"} {
		if state := h.swap(name); state.Err != nil {
			t.Fatal(state.Err)
		}
	}
	want := [][]string{
		{"old"}, {"old", "new"}, {"-old", "new"}, {"-old", "new", "newer"}, {"-old", "-new", "newer"},
	}
	p.mustBe(t, want...)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.start() // with the first store, as before the swaps
	b.mustBe("ann")
	p.mustBe(t, want...)
	// Earlier pins are ignored if only the newest store remains.
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h.config.Swap.BackendName = "newer"
	h.start()
	b.mustBe("ann")
	p.mustBe(t, append(want, []string{"newer"})...)
}

// A store in memory has no id: a host that pinned one may change to a persistent store.
func TestPinWithoutID(t *testing.T) {
	t.Parallel()
	p := &pins{was: [][]hostadapter.PinnedStore{{{Name: "old"}}}}
	newHost(t, swappable(t, "old"), func(c *hostadapter.Config) { c.Pins = p })
	stores, err := p.Pinned(t.Context())
	if err != nil || len(stores) != 1 || stores[0].StoreID == "" {
		t.Errorf("pinned %v, error %v, want the id of the present store", stores, err)
	}
}

// A swap whose target cannot be pinned fails, and an aborted swap removes its pin.
func TestPinsOfAFailedSwap(t *testing.T) {
	t.Parallel()
	h, p := pinnedHost(t, "old", "new")
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	full := errors.New("the disk with the pins is full")
	p.refuse = func(stores []hostadapter.PinnedStore) error {
		if len(stores) == 2 {
			return full
		}
		return nil
	}
	state := h.swap("new")
	if !errors.Is(state.Err, full) || state.Progress.Phase != transfer.Failed ||
		h.Operations().BackendName() != "old" {
		t.Fatalf("the swap %+v, %s serves: want it failed at its pin", state, h.Operations().BackendName())
	}
	b.mustBe("ann")
	b.signIn(hostadapter.Identity{Subject: "bob"})
	p.mustBe(t, []string{"old"})
	p.refuse = nil
	if state := h.swap("new"); state.Err != nil {
		t.Fatal(state.Err)
	}
	b.mustBe("bob")
	p.mustBe(t, []string{"old"}, []string{"old", "new"}, []string{"-old", "new"})
}

// If the host dies at a step of a swap, its next start corrects the pins.
func TestPinsOfAnInterruptedSwap(t *testing.T) {
	t.Parallel()
	t.Run("before the switch", func(t *testing.T) {
		t.Parallel()
		h, p := pinnedHost(t, "old", "new")
		b := h.browser()
		b.signIn(hostadapter.Identity{Subject: "ann"})
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		p.was = append(p.was,
			append(slices.Clone(p.was[0]), hostadapter.PinnedStore{Name: "new", StoreID: "N"}))
		h.start()
		b.mustBe("ann")
		p.mustBe(t, []string{"old"}, []string{"old", "new"}, []string{"old"})
	})
	t.Run("after the switch", func(t *testing.T) {
		t.Parallel()
		h, p := pinnedHost(t, "old", "new")
		b := h.browser()
		b.signIn(hostadapter.Identity{Subject: "ann"})
		p.refuse = func(stores []hostadapter.PinnedStore) error {
			if stores[0].Left {
				return errors.New("the host has died")
			}
			return nil
		}
		if state := h.swap("new"); state.Err != nil {
			t.Fatal(state.Err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		p.mustBe(t, []string{"old"}, []string{"old", "new"})
		p.refuse = nil
		h.start()
		b.mustBe("ann")
		p.mustBe(t, []string{"old"}, []string{"old", "new"}, []string{"-old", "new"})
	})
}

// folders returns the folder of a store.
type folders func(name string) string

func TestStartOverAnotherStoreIsRefused(t *testing.T) {
	t.Parallel()
	// Each case puts something else in place of the serving store's folder.
	for name, c := range map[string]struct {
		swapped bool
		spoil   func(t *testing.T, folder folders)
		away    string // the missing store, which must not be created
	}{
		"no store": {away: "old", spoil: func(t *testing.T, folder folders) {
			rename(t, folder("old"), folder("away"))
		}},
		"another store": {spoil: func(t *testing.T, folder folders) {
			rename(t, folder("old"), folder("away"))
			rename(t, folder("other"), folder("old"))
		}},
		"no store after a swap": {swapped: true, away: "new", spoil: func(t *testing.T, folder folders) {
			rename(t, folder("new"), folder("away"))
		}},
		"no first store after a swap": {swapped: true, away: "old", spoil: func(
			t *testing.T, folder folders,
		) {
			rename(t, folder("old"), folder("away"))
		}},
		"the store as it was before a swap": {swapped: true, spoil: func(t *testing.T, folder folders) {
			if err := os.RemoveAll(folder("old")); err != nil {
				t.Fatal(err)
			}
			rename(t, folder("copy"), folder("old"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			folder := func(name string) string { return filepath.Join(root, name) }
			p := &pins{}
			h := newHost(t, swappableIn(root, "old", "new"), func(c *hostadapter.Config) { c.Pins = p })
			b := h.browser()
			b.signIn(hostadapter.Identity{Subject: "ann"})
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(folder("copy"), os.DirFS(folder("old"))); err != nil {
				t.Fatal(err)
			}
			if c.swapped {
				h.start()
				if state := h.swap("new"); state.Err != nil {
					t.Fatal(state.Err)
				}
				if err := h.Close(); err != nil {
					t.Fatal(err)
				}
			}
			other := h.config
			swappableIn(root, "other")(&other)
			other.Pins = nil
			adapter, err := hostadapter.New(t.Context(), other)
			if err == nil {
				err = adapter.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(t, folder)
			adapter, err = hostadapter.New(t.Context(), h.config)
			if err == nil {
				t.Error(adapter.Close())
			}
			var refusal *ticketstore.OtherStoreError
			if !errors.As(err, &refusal) || (refusal.Found == "") != (c.away != "") {
				t.Fatalf("the start: got %v, want ErrOtherStore that names the found store", err)
			}
			pinned, _ := p.Pinned(t.Context())
			for _, store := range pinned {
				if !store.Left && !slices.Contains(refusal.Wanted, store.StoreID) {
					t.Errorf("the refusal wants %v, where %q of %s is missing", refusal.Wanted, store.StoreID,
						store.Name)
				}
			}
			if _, err := os.Stat(folder(c.away)); c.away != "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a store was created in place of %s (%v)", c.away, err)
			}
		})
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
