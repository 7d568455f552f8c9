package fositestore_test

// Tokens in the store that the host used before.

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// legacyHost is a server with tokens in its own store from before sessions were added, and a clock that can
// be moved past LegacyUntil.
type legacyHost struct {
	*host
	old   fosite.OAuth2Provider
	ahead atomic.Int64
	store *brittle
}

// brittle is a host's store that can fail. It adds a lock, because fosite's MemoryStore revokes refresh
// tokens without the lock under which it reads them.
type brittle struct {
	*storage.MemoryStore
	down    atomic.Bool
	refresh sync.Mutex
	// before, if set, is called once, before a refresh token or code is read.
	before atomic.Pointer[func()]
}

func (s *brittle) read() error {
	if before := s.before.Swap(nil); before != nil {
		(*before)()
	}
	if s.down.Load() {
		return errDown
	}
	return nil
}

var errDown = errors.New("the host's database is down")

func (s *brittle) GetAccessTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	if s.down.Load() {
		return nil, errDown
	}
	return s.MemoryStore.GetAccessTokenSession(ctx, signature, session)
}

func (s *brittle) GetRefreshTokenSession(
	ctx context.Context, signature string, session fosite.Session,
) (fosite.Requester, error) {
	if err := s.read(); err != nil {
		return nil, err
	}
	s.refresh.Lock()
	defer s.refresh.Unlock()
	return s.MemoryStore.GetRefreshTokenSession(ctx, signature, session)
}

func (s *brittle) DeleteRefreshTokenSession(ctx context.Context, signature string) error {
	s.refresh.Lock()
	defer s.refresh.Unlock()
	return s.MemoryStore.DeleteRefreshTokenSession(ctx, signature)
}

func (s *brittle) RevokeRefreshToken(ctx context.Context, requestID string) error {
	s.refresh.Lock()
	defer s.refresh.Unlock()
	return s.MemoryStore.RevokeRefreshToken(ctx, requestID)
}

func (s *brittle) RotateRefreshToken(ctx context.Context, requestID, signature string) error {
	if s.down.Load() {
		return errDown
	}
	s.refresh.Lock()
	defer s.refresh.Unlock()
	return s.MemoryStore.RotateRefreshToken(ctx, requestID, signature)
}

func (s *brittle) GetAuthorizeCodeSession(
	ctx context.Context, code string, session fosite.Session,
) (fosite.Requester, error) {
	if err := s.read(); err != nil {
		return nil, err
	}
	return s.MemoryStore.GetAuthorizeCodeSession(ctx, code, session)
}

func newLegacyHost(t *testing.T, options ...option) *legacyHost {
	t.Helper()
	l := &legacyHost{}
	l.host = newHost(t, append(options, func(h *host, c *fositestore.Config) {
		before := *h.fosite
		l.store = &brittle{MemoryStore: h.memory}
		l.old = compose.ComposeAllEnabled(&before, h.memory, signingKey())
		c.Store, c.LegacyUntil = l.store, time.Now().Add(10*time.Minute)
		c.Host.Now = func() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }
	})...)
	return l
}

// oldCode returns a code for "ann" in the host's store.
func (l *legacyHost) oldCode(changes ...string) string {
	l.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/authorize?"+authorization(changes...).Encode(), nil)
	request, err := l.old.NewAuthorizeRequest(l.t.Context(), r)
	if err != nil {
		l.t.Fatalf("authorizing before: %v", err)
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	response, err := l.old.NewAuthorizeResponse(l.t.Context(), request, openIDSession("ann"))
	if err != nil {
		l.t.Fatalf("authorizing before: %v", err)
	}
	return response.GetCode()
}

// oldTokens returns tokens in the host's store.
func (l *legacyHost) oldTokens() (access, refresh string) { return l.oldExchange(l.oldCode()) }

func (l *legacyHost) oldExchange(code string) (access, refresh string) {
	l.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}}
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("app", secret)
	request, err := l.old.NewAccessRequest(l.t.Context(), r, openIDSession(""))
	if err != nil {
		l.t.Fatalf("exchanging before: %v", err)
	}
	response, err := l.old.NewAccessResponse(l.t.Context(), request)
	if err != nil {
		l.t.Fatalf("exchanging before: %v", err)
	}
	refresh, _ = response.GetExtra("refresh_token").(string)
	return response.GetAccessToken(), refresh
}

// failWrite makes write n and all later writes fail until the backend is restored.
func (h *host) failWrite(number int64) {
	var writes atomic.Int64
	before := func() {
		if writes.Add(1) >= number {
			h.backend.down.Store(true)
		}
	}
	h.backend.grants.before.Store(&before)
}

func (h *host) up() {
	h.backend.grants.before.Store(nil)
	h.backend.down.Store(false)
}

// The code is used up before its OpenID record is read, which is not in the backend: a read of the backend
// that fails there would lose the tokens, and the repeated request would count as a reuse.
func TestLegacyCodeWhenALaterReadFails(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	code := l.oldCode()
	l.backend.grants.lostType.Store(grantstore.OpenIDRequest)
	r := l.exchange(code)
	r.must(t, http.StatusOK, "")
	if claims(t, r.str("id_token"))["nonce"] != nonce {
		t.Errorf("want the ID token of the request, got %s", r.body)
	}
	l.mustActive(r.str("access_token"), true)
}

func TestLegacyNeedsAStoreThatKeepsTokens(t *testing.T) {
	t.Parallel()
	config := validConfig(t)
	config.Store, config.LegacyUntil = clientsOnly{newMemory()}, time.Now().Add(time.Hour)
	var wrong *ticketstore.FieldError
	if _, err := fositestore.Attach(t.Context(), config); !errors.As(err, &wrong) ||
		wrong.Field != "Config.LegacyUntil" {
		t.Errorf("want an error that names Config.LegacyUntil, got %v", err)
	}
}

func TestLegacyTokensAreFoundUntilExpiry(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	access, refresh := l.oldTokens()
	spare := l.oldCode()
	for _, hint := range hints {
		r := l.post("/introspect", url.Values{"token": {access}, "token_type_hint": {hint}})
		if r.json["active"] != true || r.str("sub") != "ann" {
			t.Errorf("hint %q: want it active, got %s", hint, r.body)
		}
	}
	l.browser().get("/userinfo", url.Values{"access_token": {access}}).must(t, http.StatusOK, "")
	l.mustActive(refresh, true)
	l.ahead.Store(int64(20 * time.Minute))
	l.mustActive(access, false)
	l.mustActive(refresh, false)
	l.refresh(refresh).must(t, http.StatusBadRequest, "invalid_grant")
	l.exchange(spare).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestLegacyTokensWithoutConfiguration(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	access, refresh := l.oldTokens()
	plain := newHost(t, func(_ *host, c *fositestore.Config) { c.Store = l.memory })
	plain.mustActive(access, false)
	plain.refresh(refresh).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestLegacyCode(t *testing.T) {
	t.Parallel()
	verifier := strings.Repeat("v", 43)
	l := newLegacyHost(t)
	code := l.oldCode("code_challenge", verifier, "code_challenge_method", "plain")
	tokens := len(l.memory.AccessTokens)
	l.exchange(code, "code_verifier", strings.Repeat("w", 43)).must(t, http.StatusBadRequest, "invalid_grant")
	l.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	r := l.exchange(code, "code_verifier", verifier)
	r.must(t, http.StatusOK, "")
	if c := claims(t, r.str("id_token")); c["sub"] != "ann" || c["nonce"] != nonce {
		t.Errorf("want the ID token that was asked for, got %v", c)
	}
	if len(l.memory.AccessTokens) != tokens || len(l.memory.PKCES) != 0 || len(l.memory.IDSessions) != 0 {
		t.Error("want the new tokens in the sessions' store, and no rows of the code in the host's store")
	}
	second := l.refresh(r.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	// RFC 6749, section 4.1.2.
	l.exchange(code, "code_verifier", verifier).must(t, http.StatusBadRequest, "invalid_grant")
	l.mustActive(second.str("access_token"), false)
	l.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestLegacyRefreshTokenMovesItsFamily(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	access, refresh := l.oldTokens()
	first := l.refresh(refresh)
	first.must(t, http.StatusOK, "")
	if c := claims(t, first.str("id_token")); c["sub"] != "ann" {
		t.Errorf("want an ID token, got %v", c)
	}
	l.mustActive(access, false)
	l.mustActive(refresh, false)
	l.mustActive(first.str("access_token"), true)
	l.ahead.Store(int64(20 * time.Minute))
	second := l.refresh(first.str("refresh_token")) // a moved family does not end with LegacyUntil
	second.must(t, http.StatusOK, "")
	l.mustActive(second.str("access_token"), true)
	l.end("ann")
	l.mustActive(second.str("access_token"), false)
	l.refresh(second.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestLegacyRefreshTokenUsedTwiceRevokesTheFamily(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	_, refresh := l.oldTokens()
	first := l.refresh(refresh)
	first.must(t, http.StatusOK, "")
	for range 2 {
		l.refresh(refresh).must(t, http.StatusBadRequest, "invalid_grant")
		l.mustActive(first.str("access_token"), false)
	}
	l.refresh(first.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant")
}

func TestLegacyRefreshTokenWithinItsGrace(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t, func(_ *host, c *fositestore.Config) { c.RefreshGrace = time.Minute })
	_, refresh := l.oldTokens()
	first, second := l.refresh(refresh), l.refresh(refresh)
	first.must(t, http.StatusOK, "")
	second.must(t, http.StatusOK, "")
	l.mustActive(first.str("access_token"), true)
	l.mustActive(second.str("access_token"), true)
}

func TestLegacyRevocationReachesBothStores(t *testing.T) {
	t.Parallel()
	for _, hint := range hints {
		t.Run("hint "+hint, func(t *testing.T) {
			t.Parallel()
			l := newLegacyHost(t)
			access, refresh := l.oldTokens()
			l.post("/revoke", url.Values{"token": {refresh}, "as": {"other"}}).must(t, http.StatusOK, "")
			l.mustActive(access, true)
			l.post("/revoke",
				url.Values{"token": {access}, "token_type_hint": {hint}}).must(t, http.StatusOK, "")
			l.mustActive(access, false)
			l.mustActive(refresh, false)
			l.refresh(refresh).must(t, http.StatusBadRequest, "invalid_grant")
		})
	}
	// An access token that is still in the host's store although its family has moved.
	l := newLegacyHost(t)
	access, refresh := l.oldTokens()
	kept := map[string]fosite.Requester{}
	for signature, request := range l.memory.AccessTokens {
		kept[signature] = request
	}
	moved := l.refresh(refresh)
	l.memory.AccessTokens = kept
	l.mustActive(access, true)
	l.post("/revoke", url.Values{"token": {moved.str("refresh_token")}}).must(t, http.StatusOK, "")
	l.mustActive(moved.str("access_token"), false)
	l.mustActive(access, false)
}

func TestLegacyRacesHaveOneWinner(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	for range 5 {
		_, refresh := l.oldTokens()
		code := l.oldCode()
		if won := winners(t, together(8, func(int) *reply { return l.refresh(refresh) })); len(won) != 1 {
			t.Errorf("refresh: want one winner, got %d", len(won))
		}
		won := winners(t, together(8, func(int) *reply { return l.exchange(code) }))
		if len(won) != 1 {
			t.Fatalf("code: want one winner, got %d", len(won))
		}
		l.mustActive(won[0].str("access_token"), false)
	}
}

// A request that looked a token up among the grants before a concurrent request moved it, and in the host's
// store afterwards, does not treat it as used.
func TestLegacyTokenMovedConcurrently(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	_, refresh := l.oldTokens()
	code := l.oldCode()
	for name, call := range map[string]func() *reply{
		"refresh token": func() *reply { return l.refresh(refresh) },
		"code":          func() *reply { return l.exchange(code) },
	} {
		other := func() { // moves the token, then stops
			l.failWrite(2)
			call().must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
			l.up()
		}
		l.store.before.Store(&other)
		if r := call(); r.status != http.StatusOK {
			t.Errorf("%s: %d %s, want it to continue with the moved token", name, r.status, r.body)
		}
	}
}

// Whichever write is lost, the same request succeeds when the stores are back, and no token is valid twice.
func TestLegacyTokensWhenAStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	verifier := strings.Repeat("v", 43)
	for name, breaks := range map[string]func(l *legacyHost){
		"before it is moved": func(l *legacyHost) { l.failWrite(1) },
		"after it was moved": func(l *legacyHost) { l.failWrite(2) },
		"the host's own":     func(l *legacyHost) { l.store.down.Store(true) },
		"the host's store, midway": func(l *legacyHost) {
			before := func() { l.store.down.Store(true) }
			l.backend.grants.before.Store(&before)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLegacyHost(t)
			access, refresh := l.oldTokens()
			broken(l, breaks, func() *reply { return l.refresh(refresh) })
			r := l.refresh(refresh)
			r.must(t, http.StatusOK, "")
			l.mustActive(access, false)
			l.refresh(refresh).must(t, http.StatusBadRequest, "invalid_grant")

			code := l.oldCode("code_challenge", verifier, "code_challenge_method", "plain")
			if name != "the host's store, midway" { // only reads of codes fail in the host's store
				broken(l, breaks, func() *reply { return l.exchange(code, "code_verifier", verifier) })
			}
			l.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
			r = l.exchange(code, "code_verifier", verifier)
			r.must(t, http.StatusOK, "")
			if c := claims(t, r.str("id_token")); c["nonce"] != nonce {
				t.Errorf("want the ID token that was asked for, got %v", c)
			}
			l.exchange(code, "code_verifier", verifier).must(t, http.StatusBadRequest, "invalid_grant")
		})
	}
}

func broken(l *legacyHost, breaks func(*legacyHost), call func() *reply) {
	l.t.Helper()
	breaks(l)
	call().must(l.t, http.StatusServiceUnavailable, "temporarily_unavailable")
	l.up()
	l.store.down.Store(false)
}

func TestFailedLegacyLookUpIsNotInactive(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	access, _ := l.oldTokens()
	l.store.down.Store(true)
	l.introspect(access).must(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	l.post("/revoke", url.Values{"token": {access}}).must(t, http.StatusServiceUnavailable,
		"temporarily_unavailable")
	l.store.down.Store(false)
	l.mustActive(access, true)
	// New tokens need the host's store only for clients.
	_, r := l.tokens("ann")
	l.store.down.Store(true)
	l.mustActive(r.str("access_token"), true)
	l.refresh(r.str("refresh_token")).must(t, http.StatusOK, "")
}

// A refresh that read the token before its family was moved and revoked does not move it again.
func TestLegacyTokenMovesOnce(t *testing.T) {
	t.Parallel()
	l := newLegacyHost(t)
	_, refresh := l.oldTokens()
	var moved *reply
	before := func() {
		l.backend.grants.before.Store(nil)
		moved = l.refresh(refresh)
		l.refresh(refresh).must(t, http.StatusBadRequest, "invalid_grant") // reuse
	}
	l.backend.grants.before.Store(&before)
	late := l.refresh(refresh)
	late.must(t, http.StatusBadRequest, "invalid_grant")
	moved.must(t, http.StatusOK, "")
	l.mustActive(moved.str("access_token"), false)
}
