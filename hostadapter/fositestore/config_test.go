package fositestore_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	josev3 "github.com/go-jose/go-jose/v3"
	"github.com/go-jose/go-jose/v4"
	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func validConfig(t *testing.T) fositestore.Config {
	t.Helper()
	engine, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir()}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return fositestore.Config{
		Backend: engine, Store: newMemory(), Key: keyOf(signingKey()),
		Fosite: &fosite.Config{IDTokenIssuer: issuer, GlobalSecret: []byte(strings.Repeat("s", 32))},
		Host:   hostadapter.Config{Logger: quiet()},
	}
}

func keyOf(key any) func(context.Context) (any, error) {
	return func(context.Context) (any, error) { return key, nil }
}

func TestConfigNamesEveryFieldAtFault(t *testing.T) {
	t.Parallel()
	_, err := fositestore.Attach(t.Context(), fositestore.Config{RefreshGrace: -1})
	for _, field := range []string{"backend", "fosite", "store", "key", "refresh_grace"} {
		if err == nil || !strings.Contains(err.Error(), "invalid "+field+":") {
			t.Errorf("want an error that names %s, got %v", field, err)
		}
	}
	for field, change := range map[string]func(*fositestore.Config){
		"fosite.id_token_issuer":           func(c *fositestore.Config) { c.Fosite.IDTokenIssuer = "" },
		"host.issuer":                      func(c *fositestore.Config) { c.Host.Issuer = "https://other.example" },
		"issuer":                           func(c *fositestore.Config) { c.Fosite.IDTokenIssuer = "ftp://example" },
		"fosite.global_secret":             func(c *fositestore.Config) { c.Fosite.GlobalSecret = []byte("short") },
		"fosite.rotated_global_secrets[0]": func(c *fositestore.Config) { c.Fosite.RotatedGlobalSecrets = [][]byte{[]byte("short")} },
		"idle_timeout":                     func(c *fositestore.Config) { c.Host.IdleTimeout = -1 },
	} {
		config := validConfig(t)
		change(&config)
		if sessions, err := fositestore.Attach(t.Context(), config); err == nil || !strings.Contains(err.Error(), "invalid "+field+":") {
			t.Errorf("want an error that names %s, got %v, %v", field, sessions, err)
		}
	}
}

func TestConfigRefusesItsOwnStore(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	config := validConfig(t)
	config.Store = h.sessions.Store()
	var wrong *ticketstore.FieldError
	if _, err := fositestore.Attach(t.Context(), config); !errors.As(err, &wrong) || wrong.Field != "store" {
		t.Errorf("want an error that names store, got %v", err)
	}
}

// opaque is a key held elsewhere, as go-jose v3 sees it.
type opaque struct{ key *rsa.PrivateKey }

func (o opaque) Public() *josev3.JSONWebKey {
	return &josev3.JSONWebKey{Key: &o.key.PublicKey, KeyID: "opaque", Algorithm: "PS256"}
}
func (o opaque) Algs() []josev3.SignatureAlgorithm { return []josev3.SignatureAlgorithm{josev3.PS256} }
func (o opaque) SignPayload(payload []byte, _ josev3.SignatureAlgorithm) ([]byte, error) {
	hash := crypto.SHA256.New()
	hash.Write(payload)
	return rsa.SignPSS(rand.Reader, o.key, crypto.SHA256, hash.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key            any
		algorithm, kid string
	}{
		"RSA":                {rsaKey, "RS256", "configured"},
		"ECDSA":              {signingKey(), "ES256", "configured"},
		"Ed25519":            {edKey, "EdDSA", "configured"},
		"go-jose v3":         {&josev3.JSONWebKey{Key: rsaKey, KeyID: "v3", Algorithm: "PS256"}, "PS256", "v3"},
		"go-jose v3, value":  {josev3.JSONWebKey{Key: signingKey(), KeyID: "v3", Algorithm: "ES256"}, "ES256", "v3"},
		"go-jose v4":         {&jose.JSONWebKey{Key: edKey, KeyID: "v4", Algorithm: "EdDSA"}, "EdDSA", "v4"},
		"go-jose v3, opaque": {opaque{rsaKey}, "PS256", "opaque"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signer, hints := fositestore.SignerAndHints(keyOf(test.key), "configured", issuer)
			token, err := signer.Sign(t.Context(), []byte(`{"iss":"`+issuer+`","sub":"ann","sid":"s1","aud":["app"],"exp":1}`))
			if err != nil {
				t.Fatal(err)
			}
			signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(test.algorithm)})
			if err != nil {
				t.Fatalf("want %s: %v", test.algorithm, err)
			}
			header := signed.Signatures[0].Header
			if header.KeyID != test.kid || header.ExtraHeaders["typ"] != "logout+jwt" {
				t.Errorf("want kid %q and typ logout+jwt, got %+v", test.kid, header)
			}
			sub, sid, client, err := hints.Verify(t.Context(), token)
			if err != nil || sub != "ann" || sid != "s1" || client != "app" {
				t.Errorf("want the hint verified, also after its exp, got %q %q %q %v", sub, sid, client, err)
			}
			if _, _, _, err := hints.Verify(t.Context(), token[:len(token)-8]+"AAAAAAAA"); !errors.Is(err, hostadapter.ErrHintUnverified) {
				t.Errorf("a hint with another signature: got %v, want ErrHintUnverified", err)
			}
		})
	}
	for name, key := range map[string]any{
		"nil": nil, "secret": []byte("secret"), "public half": &signingKey().PublicKey,
		"wrong algorithm": &josev3.JSONWebKey{Key: rsaKey, Algorithm: "ES256"}, "none": &josev3.JSONWebKey{Key: rsaKey, Algorithm: "none"},
		"shared secret": &josev3.JSONWebKey{Key: []byte("secret"), Algorithm: "HS256"},
	} {
		config := validConfig(t)
		config.Key = keyOf(key)
		if _, err := fositestore.Attach(t.Context(), config); err == nil || !strings.Contains(err.Error(), "key") {
			t.Errorf("%s: want an error that names the key, got %v", name, err)
		}
	}
}

// Keys that cannot be read just now say nothing of the hint.
func TestHintsWithoutKeysAreUnavailable(t *testing.T) {
	t.Parallel()
	lost := func(context.Context) (any, error) { return nil, errors.New("the key store is away") }
	_, hints := fositestore.SignerAndHints(lost, "", issuer)
	if _, _, _, err := hints.Verify(t.Context(), "a.b.c"); !errors.Is(err, hostadapter.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

func TestHintsOfOtherServersAreRefused(t *testing.T) {
	t.Parallel()
	signer, hints := fositestore.SignerAndHints(keyOf(signingKey()), "", issuer)
	for name, payload := range map[string]string{
		"another issuer": `{"iss":"https://other.example","sub":"ann","aud":"app"}`, "no subject": `{"iss":"` + issuer + `","aud":"app"}`,
		"two audiences": `{"iss":"` + issuer + `","sub":"ann","aud":["app","other"]}`,
	} {
		token, err := signer.Sign(t.Context(), []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := hints.Verify(t.Context(), token); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

// logoutClient is a host's type of client with logout settings.
type logoutClient struct {
	*fosite.DefaultClient
	uri string
}

func (c *logoutClient) GetBackChannelLogoutURI() string           { return c.uri }
func (c *logoutClient) GetBackChannelLogoutSessionRequired() bool { return true }
func (c *logoutClient) GetPostLogoutRedirectURIs() []string {
	return []string{"https://app.example/bye"}
}

func TestClientsLogoutSettings(t *testing.T) {
	t.Parallel()
	memory := storage.NewMemoryStore()
	memory.Clients["own"] = &logoutClient{&fosite.DefaultClient{ID: "own"}, "https://own.example/logout"}
	memory.Clients["mapped"] = &fosite.DefaultClient{ID: "mapped"}
	memory.Clients["plain"] = &fosite.DefaultClient{ID: "plain"}
	config := validConfig(t)
	config.Store = memory
	config.Host.Clients = logout.ClientMap{"mapped": {BackChannelLogoutURI: "https://mapped.example/logout"}}
	sessions, err := fositestore.Attach(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close()
	for id, want := range map[string]logout.Client{
		"own":    {BackChannelLogoutURI: "https://own.example/logout", SessionRequired: true},
		"mapped": {BackChannelLogoutURI: "https://mapped.example/logout"}, "plain": {},
	} {
		got, err := sessions.Clients().LogoutClient(t.Context(), id)
		if err != nil || got.ClientID != id || got.BackChannelLogoutURI != want.BackChannelLogoutURI || got.SessionRequired != want.SessionRequired {
			t.Errorf("client %s: want %+v, got %+v, %v", id, want, got, err)
		}
	}
	if _, err := sessions.Clients().LogoutClient(t.Context(), "nobody"); !errors.Is(err, logout.ErrNotFound) {
		t.Errorf("unknown client: want ErrNotFound, got %v", err)
	}
}
