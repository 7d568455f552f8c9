package fositestore_test

// Responses of every endpoint after the end of a session or while the store is unavailable (rules 2 and 4).

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestEveryEndpointWhenTheSessionHasEnded(t *testing.T) {
	t.Parallel()
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			do := call.prepare(h)
			if call.racing {
				var once sync.Once
				before := func() { once.Do(func() { h.end("ann") }) }
				h.backend.grants.before.Store(&before)
			} else {
				h.end("ann")
			}
			r := do()
			r.must(t, call.endedStatus, call.endedError)
			if r.redirect.Get("error") != call.endedResult {
				t.Errorf("want redirect with error %q, got %v", call.endedResult, r.redirect)
			}
			if active, there := r.json["active"]; there && active != false {
				t.Errorf("want an inactive token, got %s", r.body)
			}
		})
	}
}

func TestEveryEndpointWhenTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			do := call.prepare(h)
			h.backend.down.Store(true)
			r := do()
			r.must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
			if r.header.Get("Retry-After") == "" || r.header.Get("Set-Cookie") != "" ||
				r.header.Get("Location") != "" {
				t.Errorf("want Retry-After, no cookie touched and no redirect, got %v", r.header)
			}
			// Nothing was consumed: the same call succeeds when the store is back.
			h.backend.down.Store(false)
			r = do()
			if r.status >= http.StatusBadRequest || r.redirect.Get("error") != "" ||
				r.json["active"] == false {
				t.Errorf("when the store is back: want success, got %d %s %v", r.status, r.body, r.redirect)
			}
		})
	}
}

// Whichever one of its store calls fails, a request succeeds, or gets 503 and succeeds when it is repeated.
func TestEveryEndpointWhenOneCallFails(t *testing.T) {
	t.Parallel()
	faults := map[string]struct {
		err  error
		lost bool
	}{
		"unavailable": {ticketstore.ErrUnavailable, false},
		"lost answer": {ticketstore.ErrUnavailable, true},
		"canceled":    {context.Canceled, false},
	}
	for _, call := range calls {
		if call.racing {
			continue // as without a race
		}
		t.Run(call.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			do := call.prepare(h)
			h.backend.counts()
			do()
			reads, writes := h.backend.counts()
			for k := range reads + writes {
				for name, fault := range faults {
					do := call.prepare(h)
					h.backend.failAt(k+1, fault.err, fault.lost)
					r := do()
					if r.status == http.StatusServiceUnavailable {
						r.must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
						if r = do(); r.str("error") == "jti_known" {
							continue // an assertion is used even if its request fails
						}
					}
					if r.status >= http.StatusBadRequest || r.redirect.Get("error") != "" ||
						r.json["active"] == false {
						t.Errorf("call %d, %s: want success at last, got %d %s %v", k+1, name, r.status,
							r.body, r.redirect)
					}
					if token := r.str("access_token"); token != "" {
						h.mustActive(token, true)
					}
				}
			}
		})
	}
}

// fosite looks a token up as access token and as refresh token, and drops the error of one lookup.
func TestIntrospectionWhenOneLookUpIsLost(t *testing.T) {
	t.Parallel()
	for _, lost := range []grantstore.Type{grantstore.ReferenceToken, grantstore.RefreshToken} {
		for _, hint := range []string{"access_token", "refresh_token"} {
			t.Run(string(lost)+" with hint "+hint, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				_, r := h.tokens("ann")
				h.refresh(r.str("refresh_token"))
				h.backend.grants.lostType.Store(lost)
				form := url.Values{"token": {r.str("access_token")}, "token_type_hint": {hint}}
				h.post("/introspect", form).must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
				h.post("/revoke", form).must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
			})
		}
	}
}

// A host passes the error of its own call to a Write method of the Provider. A deadline or a client that has
// gone says nothing about the request: the answer is 503, and a pushed request can be used again, as by a
// browser that loads the page once more.
func TestErrorOfACanceledContext(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			b, pushed := h.browser().signIn("ann"), h.post("/par", authorization())
			query := url.Values{"client_id": {"app"}, "request_uri": {pushed.str("request_uri")}}
			h.backend.tickets.failing.Store(&cause)
			r := b.get("/authorize", query)
			r.must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
			if r.header.Get("Retry-After") == "" || r.header.Get("Location") != "" {
				t.Errorf("want Retry-After and no redirect, got %v", r.header)
			}
			h.backend.tickets.failing.Store(nil)
			if r := b.get("/authorize", query); r.redirect.Get("code") == "" {
				t.Errorf("the repeated request: want a code, got %d %s %v", r.status, r.body, r.redirect)
			}
			for name, write := range map[string]func(w http.ResponseWriter){
				"access": func(w http.ResponseWriter) {
					h.provider.WriteAccessError(t.Context(), w, nil, cause)
				},
				"revocation": func(w http.ResponseWriter) {
					h.provider.WriteRevocationResponse(t.Context(), w, cause)
				},
				"introspection": func(w http.ResponseWriter) {
					h.provider.WriteIntrospectionError(t.Context(), w, cause)
				},
				"push": func(w http.ResponseWriter) {
					h.provider.WritePushedAuthorizeError(t.Context(), w, nil, cause)
				},
			} {
				w := httptest.NewRecorder()
				write(w)
				if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
					t.Errorf("%s: want 503 with Retry-After, got %d %v", name, w.Code, w.Header())
				}
			}
		})
	}
}

func TestLostAnswerIsResolved(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b := h.browser().signIn("ann")
	h.backend.grants.loseAnswers.Store(1)
	code := b.code()
	h.backend.grants.loseAnswers.Store(2)
	r := h.exchange(code)
	r.must(t, http.StatusOK, "")
	h.mustActive(r.str("access_token"), true)
	h.backend.grants.loseAnswers.Store(1)
	second := h.refresh(r.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	h.mustActive(second.str("access_token"), true)
	// An unknown outcome is not a success.
	h.backend.grants.loseAnswers.Store(100)
	h.refresh(second.str("refresh_token")).must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
}

func TestGrantThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	b, r := h.tokens("ann")
	code := b.code()
	// As if the host restarted with new sealing keys and without the old ones.
	again := newHost(t, func(again *host, c *fositestore.Config) {
		again.backend, c.Backend = h.backend, h.backend
		c.Host.Keys, c.Host.KeysLost = [][]byte{[]byte(strings.Repeat("k", 32))}, true
	})
	again.mustActive(r.str("access_token"), false)
	again.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	again.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	again.post("/revoke", url.Values{"token": {r.str("access_token")}}).must(t, http.StatusOK, "")
	h.mustActive(r.str("access_token"), true)
}
