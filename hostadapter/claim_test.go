package hostadapter_test

// The keys of a store: lost, shared, rotated.

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

func sealingKey(letter string) []byte { return bytes.Repeat([]byte(letter), hostadapter.MinKey) }

// refused opens an adapter over the backend, which must fail.
func (h *host) refused(want error, says ...string) {
	h.t.Helper()
	adapter, err := hostadapter.New(h.t.Context(), h.config)
	if err == nil {
		_ = adapter.Close()
	}
	if !errors.Is(err, want) {
		h.t.Fatalf("New: %v, want %v", err, want)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			h.t.Errorf("New: %v, want it to say %q", err, text)
		}
	}
}

// forget removes a property, like a store of an earlier release.
func (h *host) forget(name string) {
	h.t.Helper()
	value, err := h.backend.Properties().Property(h.t.Context(), name)
	if err == nil {
		err = h.backend.Properties().SetProperty(h.t.Context(), name, value, nil)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestKeysLost: a store that no key opens is refused, and accepted with KeysLost.
func TestKeysLost(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(h *host){
		"a store that has a canary":  func(*host) {},
		"a store that never had one": func(h *host) { h.forget("canary"); h.forget("keys") },
		"a store without sessions":   func(h *host) { h.mustEndAll() },
		"a store that keeps consents": func(h *host) {
			h.mustEndAll()
			h.remember("mail", 0, "openid")
			h.forget("canary")
			h.forget("keys")
		},
		"a store that had KeysLost once": func(h *host) {
			h.config.Keys, h.config.KeysLost = [][]byte{sealingKey("a")}, true
			h.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.browser().signIn(hostadapter.Identity{Subject: "ann"})
			before(h)
			h.config.Keys, h.config.KeysLost = [][]byte{sealingKey("z")}, false
			h.refused(hostadapter.ErrKeysLost, "Config.KeysLost")
			h.refused(hostadapter.ErrKeysLost)
			h.config.KeysLost = true
			h.start()
			h.config.KeysLost = false
			h.start() // they are the store's from then on
			if status := h.Operations().BackendStatus(t.Context()); status.Err != nil ||
				status.Trouble != "" {
				t.Errorf("status %v, %q; want no trouble: it was said that they are lost", status.Err,
					status.Trouble)
			}
		})
	}
}

// TestKeysLostOfASharedStore: other hosts may have the keys.
func TestKeysLostOfASharedStore(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Backend = sharedBackend{c.Backend} })
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	keys := h.config.Keys
	h.config.Keys, h.config.KeysLost = [][]byte{sealingKey("z")}, true
	h.refused(hostadapter.ErrKeysLost, "other hosts", "Config.KeysLost")
	h.config.Keys = keys
	h.start()
	b.mustBe("ann")
}

// TestKeysOfAnEmptyStore: an empty store accepts any keys.
func TestKeysOfAnEmptyStore(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.forget("canary")
	h.forget("keys")
	h.config.Keys = [][]byte{sealingKey("z")}
	h.start()
	h.config.Keys = [][]byte{sealingKey("y")}
	h.refused(hostadapter.ErrKeysLost)
}

// TestRotation: a rotated key opens the store as long as it is configured, and one that was removed too early
// is reported.
func TestRotation(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	h.remember("mail", 0, "openid")
	former := h.config.Keys[0]
	h.config.Keys = [][]byte{sealingKey("z"), former}
	h.start()
	b.mustBe("ann")
	h.config.Keys = [][]byte{former}
	h.start() // back to where it was
	b.mustBe("ann")
	h.config.Keys = [][]byte{sealingKey("z"), former}
	h.start()
	h.config.Keys = [][]byte{sealingKey("z")}
	h.start()
	trouble := func() string { return h.Operations().BackendStatus(t.Context()).Trouble }
	testenv.Eventually(t, "the status says what cannot be opened", func() bool {
		return strings.Contains(trouble(), "1 sessions and 1 tokens or consents cannot be opened")
	})
	if err := h.Ready(t.Context()); err != nil {
		t.Errorf("Ready: %v", err)
	}
	h.config.Keys = append(h.config.Keys, former)
	h.start()
	if text := trouble(); text != "" {
		t.Errorf("with the key back in place the status says %q", text)
	}
	h.mustEndAll()
	if err := h.Consents().Revoke(t.Context(), "ann", "mail"); err != nil {
		t.Fatal(err)
	}
	// A start counts once, and again only much later: what is to be purged must be gone before.
	testenv.Eventually(t, "what the session had is purged", func() bool {
		status, err := h.backend.Transfer().Status(t.Context())
		return err == nil && status.Content[transfer.Grants].Count == 0
	})
	h.config.Keys = h.config.Keys[:1]
	h.start()
	// No record sealed by the key is left: the store forgets it.
	testenv.Eventually(t, "the key is forgotten", func() bool {
		ids, err := h.backend.Properties().Property(t.Context(), "keys")
		return err == nil && len(ids) == 4
	})
	if text := trouble(); text != "" {
		t.Errorf("the status says %q, and nothing of the key is left", text)
	}
}

func (h *host) mustEndAll() {
	h.t.Helper()
	if _, err := h.RemoveSessions(h.t.Context(),
		hostadapter.SessionRemoval{SubjectID: "ann", KeepConsents: true}); err != nil {
		h.t.Fatal(err)
	}
}

// TestOneStoreOneIssuer: a store belongs to one issuer.
func TestOneStoreOneIssuer(t *testing.T) {
	t.Parallel()
	const renamed = "https://renamed.example"
	for name, before := range map[string]func(h *host){
		"a store that knows its issuer": func(*host) {},
		"a store of before":             func(h *host) { h.forget("issuer") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.browser().signIn(hostadapter.Identity{Subject: "ann"})
			before(h)
			h.config.Issuer = renamed
			h.refused(hostadapter.ErrOtherIssuer, issuer, renamed, "Config.FormerIssuers")
			h.config.FormerIssuers = []string{"https://another.example"}
			h.refused(hostadapter.ErrOtherIssuer, issuer, renamed)
			h.config.FormerIssuers = append(h.config.FormerIssuers, issuer)
			h.start()
			h.config.FormerIssuers = nil
			h.start() // it is the store's from then on
			h.config.Issuer = issuer
			h.refused(hostadapter.ErrOtherIssuer, issuer, renamed)
		})
	}
}

// TestSwapToAnotherIssuersStore: the target must be empty; the error names the issuer of one that is not.
func TestSwapToAnotherIssuersStore(t *testing.T) {
	t.Parallel()
	const other = "https://other.example"
	theirs := newHost(t, func(c *hostadapter.Config) { c.Issuer = other })
	h := newHost(t, func(c *hostadapter.Config) {
		c.Swap.BackendName = "ours"
		c.Swap.Backends = map[string]func(context.Context) (sessions.Backend, error){
			"theirs": func(context.Context) (sessions.Backend, error) { return kept{theirs.backend}, nil },
		}
	})
	_, err := h.Operations().Swap(t.Context(), "theirs")
	if !errors.Is(err, hostadapter.ErrSwap) || !errors.Is(err, hostadapter.ErrOtherIssuer) ||
		!strings.Contains(err.Error(), other) {
		t.Errorf("Swap: %v, want a refusal that names %s", err, other)
	}
}

// kept is a backend that others still use when it is closed here.
type kept struct{ *backend }

func (kept) Close() error { return nil }
