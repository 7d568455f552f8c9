package main

// A value signed for one purpose is refused for others.

import (
	"encoding/base64"
	"testing"
)

func TestSumDoesNotVerifyAsAValue(t *testing.T) {
	t.Parallel()
	s := newSigner([]byte("secret"), "test")
	const value = `{"i":"chosen"}` // such as the name of a user
	forged := base64.RawURLEncoding.EncodeToString(append(s.sum(value), value...))
	var pass browserPass
	if s.open(forged, &pass) {
		t.Error("the sum of a text is accepted as the signature of a value")
	}
	if !s.open(s.token(browserPass{ID: "i"}), &pass) || pass.ID != "i" {
		t.Errorf("a value that was signed is not opened: %+v", pass)
	}
}
