package main

// What is signed for one purpose is good for no other.

import (
	"encoding/base64"
	"testing"
)

func TestSumDoesNotVerifyAsAValue(t *testing.T) {
	t.Parallel()
	s := newSigner([]byte("secret"), "test")
	const value = `{"i":"chosen"}` // as the name of a user may be
	forged := base64.RawURLEncoding.EncodeToString(append(s.sum(value), value...))
	var pass browserPass
	if s.open(forged, &pass) {
		t.Error("the sum of a text is taken for the signature of a value")
	}
	if !s.open(s.token(browserPass{ID: "i"}), &pass) || pass.ID != "i" {
		t.Errorf("a value that was signed is not opened: %+v", pass)
	}
}
