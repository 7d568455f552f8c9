package fositestore_test

// A store that returns modified records (rule 13).

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// untrusted is a backend whose answers a test can modify.
type untrusted struct {
	sessions.Backend
	// session and grant modify answers; nil leaves them unchanged. grant gets the requested reference and the
	// true answer.
	session atomic.Pointer[func(ticketstore.Key, *ticketstore.Session)]
	grant   atomic.Pointer[func(grantstore.Ref, *grantstore.GetResult, error) (*grantstore.GetResult, error)]
	slid    atomic.Bool
}

func (l *untrusted) Tickets() ticketstore.Store { return &untrustedTickets{l.Backend.Tickets(), l} }
func (l *untrusted) Grants() grantstore.Store   { return &untrustedGrants{l.Backend.Grants(), l} }

type untrustedTickets struct {
	ticketstore.Store
	l *untrusted
}

func (t *untrustedTickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	found, err := t.Store.Get(ctx, key)
	if modify := t.l.session.Load(); modify != nil && err == nil {
		(*modify)(key, found)
	}
	return found, err
}

type untrustedGrants struct {
	grantstore.Store
	l *untrusted
}

func (g *untrustedGrants) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	found, err := g.Store.Get(ctx, ref, now)
	if modify := g.l.grant.Load(); modify != nil {
		found, err = (*modify)(ref, found, err)
	}
	return found, err
}

func (g *untrustedGrants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	result, err := g.Store.Apply(ctx, batch, now)
	if err == nil && g.l.slid.Load() {
		result.Slid = true
	}
	return result, err
}

// about modifies the existing grants of one type.
func (l *untrusted) about(t grantstore.Type, modify func(*grantstore.GetResult)) {
	f := func(ref grantstore.Ref, found *grantstore.GetResult, err error) (*grantstore.GetResult, error) {
		if err == nil && ref.Type == t {
			modify(found)
		}
		return found, err
	}
	l.grant.Store(&f)
}

// unmodified ends the modifications.
func (l *untrusted) unmodified() {
	l.grant.Store(nil)
	l.session.Store(nil)
}

// clockedLog is the host's log and clock.
type clockedLog struct {
	testenv.Log
	// ahead is the offset of the host's clock in nanoseconds.
	ahead atomic.Int64
}

func newUntrustedHost(t *testing.T, options ...option) (*host, *untrusted, *clockedLog) {
	t.Helper()
	l, log := &untrusted{}, &clockedLog{}
	h := newHost(t, append(options, func(_ *host, c *fositestore.Config) {
		l.Backend = c.Backend
		c.Backend = l
		c.Host.Logger = slog.New(slog.NewTextHandler(log, nil))
		now := c.Host.Now
		if now == nil {
			now = time.Now
		}
		c.Host.Now = func() time.Time { return now().Add(time.Duration(log.ahead.Load())) }
	})...)
	return h, l, log
}

// refused fails the test unless a refused grant was logged. It advances the host's clock so that the next
// line is not suppressed.
func (l *clockedLog) refused(t *testing.T, what string) {
	t.Helper()
	if log := l.Taken(); !strings.Contains(log, "a stored grant is refused") {
		t.Errorf("%s: log %q, want a line about a refused grant", what, log)
	}
	l.ahead.Add(int64(time.Second))
}

// TestRefusedGrantsAreBoundedInTheLog: a client can present a token any number of times.
func TestRefusedGrantsAreBoundedInTheLog(t *testing.T) {
	t.Parallel()
	h, l, log := newUntrustedHost(t, func(_ *host, c *fositestore.Config) {
		at := time.Now()
		c.Host.Now = func() time.Time { return at }
	})
	_, r := h.tokens("ann")
	modify := func(_ grantstore.Ref, found *grantstore.GetResult, err error) (*grantstore.GetResult, error) {
		if found != nil {
			found.Grant.ClientID = "other"
		}
		return found, err
	}
	l.grant.Store(&modify)
	log.Taken()
	for range 20 {
		h.mustActive(r.str("access_token"), false)
	}
	if n := strings.Count(log.Taken(), "a stored grant is refused"); n != 1 {
		t.Errorf("20 requests with a refused grant left %d lines in the log, want 1", n)
	}
}

// changedGrant are modifications that are detected for every type of grant.
var changedGrant = map[string]func(*grantstore.Grant){
	"client":      func(g *grantstore.Grant) { g.ClientID = "other" },
	"subject":     func(g *grantstore.Grant) { g.SubjectID = "ben" },
	"session":     func(g *grantstore.Grant) { g.SessionID = "another" },
	"no session":  func(g *grantstore.Grant) { g.SessionID = "" },
	"request":     func(g *grantstore.Grant) { g.RequestID = "another" },
	"later end":   func(g *grantstore.Grant) { g.Expires = g.Expires.Add(time.Hour) },
	"no end":      func(g *grantstore.Grant) { g.Expires = time.Time{} },
	"offline":     func(g *grantstore.Grant) { g.Offline = !g.Offline },
	"description": func(g *grantstore.Grant) { g.Description = "moved from the server's own store" },
	"no data":     func(g *grantstore.Grant) { g.Data = nil },
	"as if used, without data": func(g *grantstore.Grant) {
		g.Data, g.Consumed = nil, g.Created
	},
	"another key": func(g *grantstore.Grant) { g.Key = ticketstore.KeyOf("another") },
}

func TestUntrustedStoreChangesAGrant(t *testing.T) {
	t.Parallel()
	h, l, log := newUntrustedHost(t, func(_ *host, c *fositestore.Config) { c.RefreshGrace = time.Minute })
	b, r := h.tokens("ann")
	for name, change := range changedGrant {
		l.about(grantstore.ReferenceToken, func(f *grantstore.GetResult) { change(&f.Grant) })
		h.mustActive(r.str("access_token"), false)
		log.refused(t, "access token, "+name)
		h.post("/revoke", url.Values{"token": {r.str("access_token")}}).must(t, http.StatusOK, "")
		l.unmodified()
		h.mustActive(r.str("access_token"), true)
		if name != "no end" { // it has an expiry only if the host sets one
			l.about(grantstore.RefreshToken, func(f *grantstore.GetResult) { change(&f.Grant) })
			h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
			log.refused(t, "refresh token, "+name)
		}
		code := b.code()
		l.about(grantstore.AuthorizationCode, func(f *grantstore.GetResult) { change(&f.Grant) })
		h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
		log.refused(t, "code, "+name)
		l.unmodified()
		h.exchange(code).must(t, http.StatusOK, "")
	}
	h.refresh(r.str("refresh_token")).must(t, http.StatusOK, "")
}

func TestUntrustedStoreReturnsAnotherGrant(t *testing.T) {
	t.Parallel()
	h, l, log := newUntrustedHost(t)
	_, anns := h.tokens("ann")
	bens, ben := h.tokens("ben")
	stolen := map[grantstore.Type]grantstore.GetResult{}
	steal := func(ref grantstore.Ref, found *grantstore.GetResult, err error) (*grantstore.GetResult, error) {
		if err == nil {
			stolen[ref.Type] = *found
		}
		return found, err
	}
	l.grant.Store(&steal)
	h.introspect(anns.str("access_token"))
	h.introspect(anns.str("refresh_token"))
	code := h.browser().signIn("cid").code("code_challenge", "", "code_challenge_method", "")
	h.post("/token",
		url.Values{
			"grant_type": {"authorization_code"}, "code": {code},
			"redirect_uri": {"https://elsewhere.example/"},
		})
	if len(stolen) != 3 {
		t.Fatalf("%d kinds of grants were read, want three", len(stolen))
	}
	for _, key := range []string{"another's record", "another's record under the key asked for"} {
		give := func(ref grantstore.Ref, found *grantstore.GetResult,
			err error) (*grantstore.GetResult, error) {
			other, ok := stolen[ref.Type]
			if err != nil || !ok {
				return found, err
			}
			if key != "another's record" {
				other.Grant.Ref = ref
			}
			return &other, nil
		}
		mine := bens.code()
		l.grant.Store(&give)
		h.mustActive(ben.str("access_token"), false)
		log.refused(t, key)
		h.refresh(ben.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
		log.refused(t, key)
		h.exchange(mine).must(t, http.StatusBadRequest, "invalid_grant")
		log.refused(t, key)
		l.unmodified()
	}
	h.mustActive(ben.str("access_token"), true)
}

const (
	verifier  = "a-verifier-a-verifier-a-verifier-a-verifier-a"
	challenge = verifier // plain
)

func TestUntrustedStoreOmitsARow(t *testing.T) {
	t.Parallel()
	for _, bare := range []bool{false, true} {
		name := "below the provider"
		if bare {
			name = "the store alone"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, l, log := newUntrustedHost(t, func(h *host, _ *fositestore.Config) { h.bare = bare })
			b := h.browser().signIn("ann")
			pkce := []string{"code_challenge", challenge, "code_challenge_method", "plain"}
			h.exchange(b.code(pkce...), "code_verifier", verifier).must(t, http.StatusOK, "")
			h.exchange(b.code(pkce...)).must(t, http.StatusBadRequest, "invalid_grant")
			for what, keep := range map[string]func(grantstore.Type) bool{
				"PKCE":   func(t grantstore.Type) bool { return t != grantstore.PKCERequest },
				"OpenID": func(t grantstore.Type) bool { return t != grantstore.OpenIDRequest },
				"both":   func(grantstore.Type) bool { return false },
			} {
				code := b.code(pkce...)
				hide := func(ref grantstore.Ref, found *grantstore.GetResult,
					err error) (*grantstore.GetResult, error) {
					if !keep(ref.Type) && ref.Type != grantstore.AuthorizationCode &&
						ref.Type != grantstore.ReferenceToken {
						return nil, ticketstore.ErrNotFound
					}
					if err == nil {
						var kept []grantstore.Grant
						for _, row := range found.Related {
							if keep(row.Type) {
								kept = append(kept, row)
							}
						}
						found.Related = kept
					}
					return found, err
				}
				l.grant.Store(&hide)
				log.Taken()
				h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
				log.refused(t, what+" without verifier")
				h.exchange(code, "code_verifier", verifier).must(t, http.StatusBadRequest, "invalid_grant")
				log.refused(t, what+" with verifier")
				l.unmodified()
				h.exchange(code, "code_verifier", verifier).must(t, http.StatusOK, "")
			}
			// Rows of a different code count as missing.
			other := b.code("code_challenge", strings.Repeat("o", 43), "code_challenge_method", "plain")
			var theirs []grantstore.Grant
			l.about(grantstore.AuthorizationCode, func(f *grantstore.GetResult) { theirs = f.Related })
			h.exchange(other).must(t, http.StatusBadRequest, "invalid_grant")
			code := b.code(pkce...)
			l.about(grantstore.AuthorizationCode, func(f *grantstore.GetResult) { f.Related = theirs })
			log.Taken()
			h.exchange(code, "code_verifier", strings.Repeat("o", 43)).must(t, http.StatusBadRequest,
				"invalid_grant")
			log.refused(t, "rows of another code")
		})
	}
}

func TestUntrustedStoreReturnsExpiredGrants(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h, l, _ := newUntrustedHost(t, func(_ *host, c *fositestore.Config) {
		c.Host.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	pushed := h.post("/par", authorization()).str("request_uri")
	b := h.browser().signIn("ann")
	asked := url.Values{"client_id": {"app"}, "request_uri": {pushed}}
	give := func(ref grantstore.Ref, _ *grantstore.GetResult, _ error) (*grantstore.GetResult, error) {
		return l.Backend.Grants().Get(context.Background(), ref, time.Now()) // at the former time
	}
	l.grant.Store(&give)
	ahead.Store(int64(time.Hour))
	if reply := b.get("/authorize", asked); reply.redirect.Get("code") != "" {
		t.Errorf("a pushed request that has expired was answered with %v", reply.redirect)
	}
}

// Releases before Config.UnboundUntil sealed a grant's data only for its type and key.
func TestGrantOfAFormerRelease(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	h, l, log := newUntrustedHost(t, func(_ *host, c *fositestore.Config) {
		c.Host.UnboundUntil = time.Now().Add(time.Hour)
		c.Host.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	b, r := h.tokens("ann")
	code := b.code()
	former := func(_ grantstore.Ref, found *grantstore.GetResult, err error) (*grantstore.GetResult, error) {
		if err == nil {
			found.Grant = fositestore.SealedBefore(t, h.sessions, found.Grant)
			for i := range found.Related {
				found.Related[i] = fositestore.SealedBefore(t, h.sessions, found.Related[i])
			}
		}
		return found, err
	}
	l.grant.Store(&former)
	h.mustActive(r.str("access_token"), true)
	r = h.refresh(r.str("refresh_token"))
	r.must(t, http.StatusOK, "")
	exchanged := h.exchange(code)
	exchanged.must(t, http.StatusOK, "")
	l.unmodified() // tokens issued for them are sealed with all bindings
	h.mustActive(exchanged.str("access_token"), true)
	r = h.refresh(r.str("refresh_token"))
	r.must(t, http.StatusOK, "")

	late := b.code()
	ahead.Store(int64(time.Hour))
	l.grant.Store(&former)
	log.Taken()
	for range 5 {
		h.refresh(r.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	}
	// The grant was not modified: UnboundUntil was not set at the upgrade, or has passed.
	text := log.Taken()
	if strings.Contains(text, "not to be trusted") || strings.Contains(text, "a stored grant is refused") {
		t.Errorf("log %q, want the store not named as the cause", text)
	}
	if n := strings.Count(text, "UnboundUntil"); n != 1 {
		t.Errorf("log %q names UnboundUntil %d times, want once a minute", text, n)
	}
	h.exchange(late).must(t, http.StatusBadRequest, "invalid_grant")
	l.unmodified()
	h.refresh(r.str("refresh_token")).must(t, http.StatusOK, "")
}

// TestUsedGrantNeedsNoData: of a used code or refresh token a store may keep only the owner.
func TestUsedGrantNeedsNoData(t *testing.T) {
	t.Parallel()
	h, l, _ := newUntrustedHost(t)
	bare := func(_ grantstore.Ref, found *grantstore.GetResult, err error) (*grantstore.GetResult, error) {
		if errors.Is(err, grantstore.ErrConsumed) {
			found.Grant.Data = nil
		}
		return found, err
	}
	l.grant.Store(&bare)
	b := h.browser().signIn("ann")
	code := b.code()
	first := h.exchange(code)
	h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(first.str("access_token"), false)
	second := h.exchange(b.code())
	third := h.refresh(second.str("refresh_token"))
	h.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
	h.mustActive(third.str("access_token"), false)
}

func TestUntrustedStoreReturnsUnrequestedTimes(t *testing.T) {
	t.Parallel()
	h, l, _ := newUntrustedHost(t)
	l.slid.Store(true)
	_, r := h.tokens("ann")
	h.refresh(r.str("refresh_token")).must(t, http.StatusOK, "")
	h.mustActive(r.str("access_token"), false)
}

func TestUntrustedStoreSignsNoUserIn(t *testing.T) {
	t.Parallel()
	h, l, _ := newUntrustedHost(t)
	var victim ticketstore.Session
	see := func(_ ticketstore.Key, s *ticketstore.Session) { victim = *s }
	l.session.Store(&see)
	ann := h.browser().signIn("ann")
	ann.mustBe("ann")
	ben := h.browser().signIn("ben")
	give := func(key ticketstore.Key, s *ticketstore.Session) {
		*s = victim
		s.Key = key // as in a backup in which the session's key was replaced
	}
	l.session.Store(&give)
	if who := ben.get("/whoami", nil); who.status != http.StatusOK || who.body != "" {
		t.Errorf("with another session's record: %d %q, want no session", who.status, who.body)
	}
	if reply := ben.get("/authorize", authorization()); reply.redirect.Get("code") != "" {
		t.Errorf("with another's record: %v, want no code", reply.redirect)
	}
	l.unmodified()
	ben.mustBe("ben")
}

func TestUntrustedStoreReturnsAnotherConsent(t *testing.T) {
	t.Parallel()
	h, l, _ := newUntrustedHost(t)
	consents := h.sessions.Consents()
	for _, client := range []string{"app", "other"} {
		if err := consents.Remember(t.Context(), "ann", client, []string{"photos", client}, 0); err != nil {
			t.Fatal(err)
		}
	}
	var theirs grantstore.Grant
	l.about(grantstore.UserConsent, func(f *grantstore.GetResult) { theirs = f.Grant })
	if _, err := consents.Find(t.Context(), "ann", "app"); err != nil {
		t.Fatal(err)
	}
	for _, who := range []struct{ subject, client string }{{"ben", "app"}, {"ann", "other"}} {
		modify := func(ref grantstore.Ref, _ *grantstore.GetResult, _ error) (*grantstore.GetResult, error) {
			g := theirs
			g.Ref, g.SubjectID, g.ClientID = ref, who.subject, who.client
			return &grantstore.GetResult{Grant: g}, nil
		}
		l.grant.Store(&modify)
		if given, err := consents.Given(t.Context(), who.subject, who.client, []string{"photos"}); given ||
			err != nil {
			t.Errorf("consent of %s to %s: %v, %v; want none", who.subject, who.client, given, err)
		}
	}
}
