package client

// The default HTTP client and its transport.

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
)

// A server that accepts connections without answering does not block a client forever.
func TestServerWithoutAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{URL: "http://op.example/admin", Token: "the-token"})
		if err != nil {
			t.Fatal(err)
		}
		transport, ok := c.http.Transport.(*http.Transport)
		if !ok {
			t.Fatalf("the transport is %T, without a timeout", c.http.Transport)
		}
		transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			return near, nil
		}
		if _, err := c.SwapBackend(t.Context(), "other", false); !IsNetwork(err) {
			t.Errorf("error %v, want a network error", err)
		}
	})
}
