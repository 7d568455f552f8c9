package integration

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// pluginHost is an adapter without HTTP, over built plugins.
func pluginHost(
	t *testing.T, first string, plugins map[string]plugin.Config, changes ...func(*hostadapter.Config),
) *hostadapter.Adapter {
	t.Helper()
	backends := map[string]func(context.Context) (sessions.Backend, error){}
	for name, config := range plugins {
		backends[name] = func(ctx context.Context) (sessions.Backend, error) {
			return plugin.Open(ctx, config)
		}
	}
	config := hostadapter.Config{
		Swap: hostadapter.SwapConfig{Backends: backends, BackendName: first}, Issuer: "https://op.example",
		Keys: [][]byte{make([]byte, 32)},
		Signer: signer(func(context.Context, []byte) (string, error) {
			return "", errors.New("notifications are not signed here")
		}),
		Clients: logout.ClientMap{}, Logger: slog.New(slog.NewTextHandler(watched.log(), nil)),
	}
	for _, change := range changes {
		change(&config)
	}
	adapter, err := hostadapter.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := adapter.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return adapter
}

type signer func(ctx context.Context, payload []byte) (string, error)

func (f signer) Sign(ctx context.Context, payload []byte) (string, error) { return f(ctx, payload) }

// swapped starts a swap and waits for its end.
func swapped(t *testing.T, adapter *hostadapter.Adapter, name string) *hostadapter.SwapState {
	t.Helper()
	id, err := adapter.Operations().Swap(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return swapEnd(t, adapter, id)
}

// swapEnd waits for the end of a swap or an upgrade.
func swapEnd(t *testing.T, adapter *hostadapter.Adapter, id string) (state *hostadapter.SwapState) {
	t.Helper()
	testenv.Eventually(t, "the swap has ended", func() bool {
		var err error
		if state, err = adapter.Operations().SwapByID(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return !state.Finished.IsZero()
	})
	return state
}

// A third-party backend works in swaps, as target and as source.
func TestSwapBetweenEngines(t *testing.T) {
	t.Parallel()
	adapter := pluginHost(t, "badger", map[string]plugin.Config{
		"badger": badgerConfig(t), "memory": memoryConfig(t), "another badger": badgerConfig(t),
	})
	now := time.Now().UTC()
	session := &ticketstore.Session{
		Key: ticketstore.KeyOf("cookie"), SessionID: "sid", SubjectID: "ann", Issuer: "https://op.example",
		AuthTime: now, Created: now,
		Renewed: now, Expires: now.Add(time.Hour), Ticket: []byte("sealed"),
	}
	tickets := adapter.Backend().Tickets()
	if err := tickets.Create(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"memory", "another badger"} {
		if state := swapped(t, adapter, name); state.Err != nil ||
			adapter.Operations().BackendName() != name {
			t.Fatalf("swap to %s: %+v", name, state)
		}
		description, err := adapter.Backend().Describe(t.Context())
		if err != nil || (description.Name == "memory") != (name == "memory") {
			t.Fatalf("after the swap to %s the backend is %+v, error %v", name, description, err)
		}
		version := uint64(i) + 1
		got, err := tickets.Renew(t.Context(),
			ticketstore.Renewal{Key: session.Key, Version: version, Expires: now.Add(2 * time.Hour)}, now)
		if err != nil || string(got.Ticket) != "sealed" {
			t.Fatalf("renew on %s: %+v, error %v", name, got, err)
		}
	}
}
