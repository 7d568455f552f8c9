package fositestore_test

// The flows over the plugin protocol, in one process.

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest"
	"github.com/fosite-sessions/sessions/plugin/storetest"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// connected is an engine behind the plugin protocol.
type connected struct {
	sessions.Backend
	stores storetest.Stores
}

func (c connected) Tickets() ticketstore.Store { return c.stores.Tickets }
func (c connected) Grants() grantstore.Store   { return c.stores.Grants }
func (c connected) Logout() logout.Store       { return c.stores.Logout }

func overProtocol(h *host, c *fositestore.Config) {
	engine, _ := h.backend.Backend.(*badger.Engine)
	h.backend = watch(connected{engine, plugintest.Connect(h.t, engine)})
	c.Backend = h.backend
}

// One flow of each kind over the plugin protocol: errors keep their identity, and records are unchanged.
func TestFlowsOverThePluginProtocol(t *testing.T) {
	t.Parallel()
	h := newHost(t, overProtocol, knowsUsers)
	verifier := strings.Repeat("v", 43)
	b := h.browser().signIn("ann")
	code := b.code("code_challenge", verifier, "code_challenge_method", "plain", "scope",
		"openid offline_access albums.\xff")
	h.exchange(code).must(t, http.StatusBadRequest, "invalid_grant")
	first := h.exchange(code, "code_verifier", verifier)
	first.must(t, http.StatusOK, "")
	second := h.refresh(first.str("refresh_token"))
	second.must(t, http.StatusOK, "")
	if c := claims(t, second.str("id_token")); c["sid"] != h.sid("ann") {
		t.Errorf("want an ID token of the session, got %v", c)
	}
	h.mustActive(second.str("access_token"), true)
	h.refresh(first.str("refresh_token")).must(t, http.StatusBadRequest, "invalid_grant") // reuse
	h.mustActive(second.str("access_token"), false)
	h.exchange(code, "code_verifier", verifier).must(t, http.StatusBadRequest, "invalid_grant")

	hybrid := b.get("/authorize", authorization("response_type", "code id_token token")).redirect
	h.exchange(hybrid.Get("code")).must(t, http.StatusOK, "")
	h.mustActive(hybrid.Get("access_token"), true)
	pushed := h.post("/par", asserted(t, authorization("client_id", asserting)))
	query := url.Values{"client_id": {asserting}, "request_uri": {pushed.str("request_uri")}}
	exchange := asserted(t, url.Values{
		"grant_type": {"authorization_code"}, "code": {b.get("/authorize", query).redirect.Get("code")},
		"redirect_uri": {redirectURI},
	})
	tokens := h.post("/token", again(exchange))
	tokens.must(t, http.StatusOK, "")
	h.post("/token", again(exchange)).must(t, http.StatusBadRequest, "jti_known")
	bearer := bearerGrant(t)
	h.post("/token", again(bearer)).must(t, http.StatusOK, "")
	h.post("/token", again(bearer)).must(t, http.StatusBadRequest, "jti_known")
	password := h.post("/token", passwordGrant())
	h.post("/revoke", url.Values{"token": {password.str("access_token")}}).must(t, http.StatusOK, "")
	h.mustActive(password.str("refresh_token"), false)

	consents := h.sessions.Consents()
	if err := consents.Remember(t.Context(), "ann", "app", []string{"openid", "photos"}, 0); err != nil {
		t.Errorf("remembering a consent: %v", err)
	}
	if err := consents.Remember(t.Context(), "ann", "app", []string{"email"}, 0); err != nil {
		t.Errorf("adding to a consent: %v", err)
	}
	if given, err := consents.Given(t.Context(), "ann", "app", []string{"photos", "email"}); !given ||
		err != nil {
		t.Errorf("want the consent, got %v, %v", given, err)
	}
	late := b.code()
	h.end("ann")
	for _, token := range []string{
		hybrid.Get("access_token"), tokens.str("access_token"), tokens.str("refresh_token"),
	} {
		h.mustActive(token, false)
	}
	h.exchange(late).must(t, http.StatusBadRequest, "invalid_grant")
	if given, err := consents.Given(t.Context(), "ann", "app", []string{"openid"}); given || err != nil {
		t.Errorf("want the consent gone with the subject, got %v, %v", given, err)
	}
}
