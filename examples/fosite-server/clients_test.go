package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// A code exchange, a refresh and the end of the session with each way of client authentication.
func TestEveryKindOfClient(t *testing.T) {
	t.Parallel()
	callback := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(callback.Close)
	const common = `"scope":"openid offline_access","grant_types":["authorization_code","refresh_token"],` +
		`"skip_consent":true,"redirect_uris":["REDIRECT"]`
	clients := strings.ReplaceAll(`[
		{"client_id":"basic client","client_secret":"odd: %/+ä",
			"token_endpoint_auth_method":"client_secret_basic",`+common+`},
		{"client_id":"post","client_secret":"odd: %/+ä",
			"token_endpoint_auth_method":"client_secret_post",`+common+`},
		{"client_id":"public","token_endpoint_auth_method":"none",`+common+`}]`,
		"REDIRECT", callback.URL+"/cb")
	s := startServer(t, "-clients", writeFile(t, clients))
	endpoint := oauth2.Endpoint{
		AuthURL: s.provider.issuer + pathAuthorize, TokenURL: s.provider.issuer + pathToken,
	}
	b := newBrowser(t)
	b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "ann", "password", "ann-demo")

	tokens := map[*oauth2.Config]*oauth2.Token{}
	for id, style := range map[string]oauth2.AuthStyle{
		"basic client": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams,
		"public": oauth2.AuthStyleInParams,
	} {
		config := &oauth2.Config{
			ClientID: id, Endpoint: endpoint, RedirectURL: callback.URL + "/cb",
			Scopes: []string{"openid", "offline_access"},
		}
		config.Endpoint.AuthStyle = style
		if id != "public" {
			config.ClientSecret = "odd: %/+ä"
		}
		verifier := oauth2.GenerateVerifier()
		answer := b.answerOf(config.AuthCodeURL("12345678", oauth2.S256ChallengeOption(verifier)))
		token, err := config.Exchange(t.Context(), answer.Get("code"), oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatalf("%s: code exchange (%v): %v", id, answer, err)
		}
		if tokens[config], err = config.TokenSource(t.Context(),
			&oauth2.Token{RefreshToken: token.RefreshToken}).Token(); err != nil {
			t.Fatalf("%s: refresh: %v", id, err)
		}
		if got := introspected(b, s, tokens[config].AccessToken); !strings.Contains(got, `"active":true`) {
			t.Errorf("%s: introspection says %s, want active", id, got)
		}
		wrong := *config
		wrong.ClientSecret = "wrong"
		if _, err := wrong.TokenSource(t.Context(),
			&oauth2.Token{RefreshToken: tokens[config].RefreshToken}).Token(); err == nil {
			t.Errorf("%s: a refresh with a wrong secret succeeded", id)
		}
	}
	if answer := b.answerOf((&oauth2.Config{ClientID: "public", Endpoint: endpoint,
		RedirectURL: callback.URL + "/cb", Scopes: []string{"openid"}}).
		AuthCodeURL("12345678")); answer.Get("error") != "invalid_request" {
		t.Errorf("a public client without PKCE is answered with %v, want invalid_request", answer)
	}

	if status, answer := adminCall(t, s, http.MethodPost, "/sessions/remove",
		`{"subject_id":"1001"}`); status != http.StatusOK {
		t.Fatalf("removal is %d %v", status, answer)
	}
	for config, token := range tokens {
		if got := introspected(b, s, token.AccessToken); got != `{"active":false}` {
			t.Errorf("%s: after the removal introspection says %s, want inactive", config.ClientID, got)
		}
		_, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
		var refused *oauth2.RetrieveError
		if !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
			t.Errorf("%s: after the removal a refresh is answered with %v, want invalid_grant",
				config.ClientID, err)
		}
	}
}

// introspected introspects a token as the client whose credentials have special characters, percent-encoded
// as in section 2.3.1 of RFC 6749.
func introspected(b *browser, s *running, token string) string {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost,
		s.provider.issuer+pathIntrospect, strings.NewReader(formOf("token", token)))
	if err != nil {
		b.t.Fatal(err)
	}
	request.Header.Set("Content-Type", formType)
	request.SetBasicAuth(url.QueryEscape("basic client"), url.QueryEscape("odd: %/+ä"))
	return strings.TrimSpace(b.do(request).body)
}

// A server that may share its store says at start that its demo clients are not those of the others.
func TestDemoClientsBesideOtherServers(t *testing.T) {
	t.Parallel()
	postgres := []string{"-backend", "postgres", "-dsn-file", "dsn"}
	for _, c := range []struct {
		arguments []string
		warns     bool
	}{
		{nil, false}, {postgres, true}, {[]string{"-keys", "keys"}, true},
		{append(postgres, "-clients", "clients.json"), false},
	} {
		o, err := parseOptions(append([]string{"-addr", "127.0.0.1:0"}, c.arguments...), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		log := &testenv.Log{}
		p := &provider{
			issuer: "http://op", clients: map[string]*client{},
			logger: slog.New(slog.NewTextHandler(log, nil)),
		}
		s := &running{options: o, provider: p}
		if err := s.startDemo(t.Context(), newSecretHasher()); err != nil {
			t.Fatal(err)
		}
		closeAll(s.demo)
		warned := strings.Count(log.String(), "level=WARN")
		if (warned == 1) != c.warns || strings.Contains(log.String(), "-clients") != c.warns {
			t.Errorf("%v logs %q, want a warning that names -clients: %t", c.arguments, log, c.warns)
		}
	}
}
