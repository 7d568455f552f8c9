package hostadapter_test

// Sealed data cannot be moved or changed.

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	oldKey, newKey := bytes.Repeat([]byte("o"), 32), bytes.Repeat([]byte("n"), 40)
	before := newHost(t, func(c *hostadapter.Config) { c.Keys = [][]byte{oldKey} })
	after := newHost(t, func(c *hostadapter.Config) { c.Keys = [][]byte{newKey, oldKey} })
	without := newHost(t, func(c *hostadapter.Config) { c.Keys = [][]byte{newKey} })

	plain, id := []byte("a card number"), []byte("id")
	sealed := before.seal("grant", id, plain)
	if bytes.Contains(sealed, plain) {
		t.Error("the sealed data contains the plaintext")
	}
	if again := before.seal("grant", id, plain); bytes.Equal(again, sealed) {
		t.Error("sealing twice gave the same bytes")
	}
	for name, h := range map[string]*host{"the same key": before, "a rotated ring": after} {
		if got, err := h.unseal("grant", id, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("with %s: %q, %v; want the plaintext", name, got, err)
		}
	}
	fresh := after.seal("grant", id, plain)
	if _, err := without.unseal("grant", id, fresh); err != nil {
		t.Errorf("the first key of a ring does not seal: %v", err)
	}

	refused := map[string]func() ([]byte, error){
		"the key is missing": func() ([]byte, error) { return without.unseal("grant", id, sealed) },
		"another purpose":    func() ([]byte, error) { return before.unseal("ticket", id, sealed) },
		"another id":         func() ([]byte, error) { return before.unseal("grant", []byte("di"), sealed) },
		"a shifted purpose":  func() ([]byte, error) { return before.unseal("granti", []byte("d"), sealed) },
		"nothing":            func() ([]byte, error) { return before.unseal("grant", id, nil) },
		"cut": func() ([]byte, error) {
			return before.unseal("grant", id, sealed[:len(sealed)-1])
		},
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := before.unseal("grant", id, changed); !errors.Is(err, hostadapter.ErrSealed) {
			t.Errorf("byte %d changed: error %v, want ErrSealed", i, err)
		}
	}
	for name, unseal := range refused {
		if got, err := unseal(); !errors.Is(err, hostadapter.ErrSealed) || got != nil {
			t.Errorf("%s: %q, %v; want ErrSealed", name, got, err)
		}
	}
	if log := without.log.String(); !strings.Contains(log, "cannot be opened") ||
		strings.Contains(log, string(plain)) {
		t.Errorf("log %q, want it to report the record that cannot be opened", log)
	}
}
