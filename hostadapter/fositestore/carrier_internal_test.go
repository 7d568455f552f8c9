package fositestore

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func (m *carriers) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

func TestCarriersEndWithTheirRequests(t *testing.T) {
	t.Parallel()
	m := &carriers{}
	kept := fosite.NewAuthorizeRequest()
	c := newCarrier(t.Context())
	m.bind(kept, c)
	for range 100 {
		m.bind(fosite.NewAuthorizeRequest(), newCarrier(t.Context()))
		// For a host that uses the Store without the Provider.
		m.from(context.WithValue(t.Context(), fosite.AccessRequestContextKey, fosite.NewAccessRequest(nil)))
	}
	testenv.Eventually(t, "only the carrier of the held request is left", func() bool {
		runtime.GC()
		return m.size() <= 1
	})
	if m.of(kept) != c {
		t.Error("the carrier of a held request was removed")
	}
	m.release(kept)
	if m.of(kept) != nil {
		t.Error("the carrier of an answered request was kept")
	}
}

func TestOneCarrierForATokenRequestWithoutProvider(t *testing.T) {
	t.Parallel()
	m := &carriers{}
	request := fosite.NewAccessRequest(nil)
	ctx := context.WithValue(t.Context(), fosite.AccessRequestContextKey, request)
	if first := m.from(ctx); first == nil || m.from(ctx) != first {
		t.Error("want the same carrier for each call of a token request")
	}
	if m.from(t.Context()) != nil {
		t.Error("want no carrier without a request")
	}
}

func TestRequestTime(t *testing.T) {
	t.Parallel()
	request := time.Unix(1000, 7).UTC()
	for name, test := range map[string]struct{ host, want time.Time }{
		"not set":            {time.Time{}, time.Unix(1000, 0)},
		"set after the form": {time.Unix(1060, 0), time.Unix(1000, 0)},
		"the host's own":     {time.Unix(900, 0), time.Unix(900, 0)},
	} {
		session := &openid.DefaultSession{Claims: &jwt.IDTokenClaims{RequestedAt: test.host}}
		bindRequestTime(session, request)
		if !session.Claims.RequestedAt.Equal(test.want) {
			t.Errorf("%s: want %v, got %v", name, test.want, session.Claims.RequestedAt)
		}
	}
}
