package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/memory"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// crowded is a store that some hosts have open.
type crowded struct {
	sessions.Backend
	hosts atomic.Int32
}

func (c *crowded) Describe(ctx context.Context) (ticketstore.Description, error) {
	description, err := c.Backend.Describe(ctx)
	description.Hosts = make([]ticketstore.Host, c.hosts.Load())
	return description, err
}

func newCrowded(t *testing.T) (store *crowded, claim func(id string) error) {
	t.Helper()
	store = &crowded{Backend: memory.New()}
	t.Cleanup(func() { _ = store.Close() })
	return store, func(id string) error {
		return claimSigningKey(t.Context(), store, id, slog.New(slog.NewTextHandler(t.Output(), nil)))
	}
}

// A server with a different signing key than other servers of its store is refused; a single server may
// replace its key.
func TestStoreHasOneSigningKey(t *testing.T) {
	t.Parallel()
	store, claim := newCrowded(t)
	for _, step := range []struct {
		name  string
		hosts int32
		id    string
		want  bool
	}{
		{"the first server", 1, "one", true},
		{"the second one, with its key", 2, "one", true},
		{"a third one, with another", 3, "two", false},
		{"the first one again", 2, "one", true},
		{"one that is alone, with a new key", 1, "two", true},
		{"the second one, with the former key", 2, "one", false},
		{"a store of which hosts are not known", 0, "three", true},
	} {
		store.hosts.Store(step.hosts)
		// The check before the start of the adapter has the same result and changes nothing.
		if _, _, err := checkSigningKey(t.Context(), store, step.id); (err == nil) != step.want {
			t.Errorf("%s: the check before: %v", step.name, err)
		}
		err := claim(step.id)
		if (err == nil) != step.want || err != nil && !errors.Is(err, errOtherSigningKey) {
			t.Errorf("%s: %v; want it to start: %t", step.name, err, step.want)
		}
	}
	store.hosts.Store(2)
	err := claim("four")
	if err == nil || !strings.Contains(err.Error(), "three") || !strings.Contains(err.Error(), "four") {
		t.Errorf("%v, want both ids", err)
	}
	_ = store.Close()
	if err := claim("three"); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("without the store: %v", err)
	}
}

// Of servers with two keys that start concurrently on a new store, only those with one key serve.
func TestConcurrentSigningKeys(t *testing.T) {
	t.Parallel()
	store, claim := newCrowded(t)
	store.hosts.Store(4)
	var mu sync.Mutex
	served := map[string]int{}
	var wg sync.WaitGroup
	for _, id := range []string{"one", "two", "one", "two"} {
		wg.Go(func() {
			err := claim(id)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				served[id]++
			} else if !errors.Is(err, errOtherSigningKey) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if served["one"]+served["two"] != 2 || served["one"]*served["two"] != 0 {
		t.Errorf("servers started by key: %v, want both of one key", served)
	}
}

// comesBetween is a store that another server opens while one checks it.
type comesBetween struct {
	*crowded
	once sync.Once
	come func()
}

func (c *comesBetween) Describe(ctx context.Context) (ticketstore.Description, error) {
	description, err := c.crowded.Describe(ctx)
	c.once.Do(c.come)
	return description, err
}

// If a server with the former key starts while another one replaces it, the replacement is refused.
func TestConcurrentSigningKeyReplacement(t *testing.T) {
	t.Parallel()
	store, claim := newCrowded(t)
	store.hosts.Store(1)
	if err := claim("one"); err != nil {
		t.Fatal(err)
	}
	between := &comesBetween{crowded: store, come: func() {
		store.hosts.Store(2)
		if err := claim("one"); err != nil {
			t.Error(err)
		}
	}}
	err := claimSigningKey(t.Context(), between, "two", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if !errors.Is(err, errOtherSigningKey) {
		t.Errorf("the key of another server was replaced: %v", err)
	}
}
