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
	"github.com/google/go-cmp/cmp"
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
	for _, field := range []string{"Backend", "Fosite", "Store", "RefreshGrace"} {
		if err == nil || !strings.Contains(err.Error(), "invalid Config."+field+":") {
			t.Errorf("want an error that names %s, got %v", field, err)
		}
	}
	for field, change := range map[string]func(*fositestore.Config){
		"Host.Issuer": func(c *fositestore.Config) {
			c.Host.Issuer = "https://other.example"
		},
		"Issuer": func(c *fositestore.Config) {
			c.Fosite.IDTokenIssuer = "ftp://example"
		},
		"Fosite.GlobalSecret": func(c *fositestore.Config) {
			c.Fosite.GlobalSecret = []byte("short")
		},
		"Fosite.RotatedGlobalSecrets[0]": func(c *fositestore.Config) {
			c.Fosite.RotatedGlobalSecrets = [][]byte{[]byte("short")}
		},
		"Lifetime.IdleTimeout": func(c *fositestore.Config) { c.Host.Lifetime.IdleTimeout = -1 },
	} {
		config := validConfig(t)
		change(&config)
		if sessions, err := fositestore.Attach(t.Context(), config); err == nil ||
			!strings.Contains(err.Error(), "invalid Config."+field+":") {
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
	if _, err := fositestore.Attach(t.Context(), config); !errors.As(err, &wrong) ||
		wrong.Field != "Config.Store" {
		t.Errorf("want an error that names store, got %v", err)
	}
}

// opaque is an external key, in go-jose v3's interface.
type opaque struct{ key *rsa.PrivateKey }

func (o opaque) Public() *josev3.JSONWebKey {
	return &josev3.JSONWebKey{Key: &o.key.PublicKey, KeyID: "opaque", Algorithm: "PS256"}
}
func (o opaque) Algs() []josev3.SignatureAlgorithm { return []josev3.SignatureAlgorithm{josev3.PS256} }
func (o opaque) SignPayload(payload []byte, _ josev3.SignatureAlgorithm) ([]byte, error) {
	hash := crypto.SHA256.New()
	hash.Write(payload)
	return rsa.SignPSS(rand.Reader, o.key, crypto.SHA256, hash.Sum(nil),
		&rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
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
		plain          any
	}{
		"RSA":     {rsaKey, "RS256", "configured", rsaKey},
		"ECDSA":   {signingKey(), "ES256", "configured", signingKey()},
		"Ed25519": {edKey, "EdDSA", "configured", edKey},
		"go-jose v3": {
			&josev3.JSONWebKey{Key: rsaKey, KeyID: "v3", Algorithm: "PS256"}, "PS256", "v3", rsaKey,
		},
		"go-jose v3, value": {
			josev3.JSONWebKey{Key: signingKey(), KeyID: "v3", Algorithm: "ES256"}, "ES256", "v3",
			signingKey(),
		},
		"go-jose v4": {
			&jose.JSONWebKey{Key: edKey, KeyID: "v4", Algorithm: "EdDSA"}, "EdDSA", "v4", edKey,
		},
		"go-jose v3, opaque": {opaque{rsaKey}, "PS256", "opaque", rsaKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signer, hints := fositestore.SignerAndHints(keyOf(test.key), "configured", issuer)
			payload := `{"iss":"` + issuer + `","sub":"ann","sid":"s1","aud":["app"],"exp":1}`
			token, err := signer.Sign(t.Context(), []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			signed, err := jose.ParseSignedCompact(token,
				[]jose.SignatureAlgorithm{jose.SignatureAlgorithm(test.algorithm)})
			if err != nil {
				t.Fatalf("want %s: %v", test.algorithm, err)
			}
			header := signed.Signatures[0].Header
			if header.KeyID != test.kid || header.ExtraHeaders["typ"] != "logout+jwt" {
				t.Errorf("want kid %q and typ logout+jwt, got %+v", test.kid, header)
			}
			hint := sign(t, test.plain, test.algorithm, "", payload)
			got, err := hints.Verify(t.Context(), hint)
			want := &hostadapter.IDTokenHint{Subject: "ann", SessionID: "s1", Audience: []string{"app"}}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("want the hint verified, also after its exp, got %v (-want +got):\n%s", err, diff)
			}
			if _, err := hints.Verify(t.Context(), hint[:len(hint)-8]+"AAAAAAAA"); !errors.Is(err,
				hostadapter.ErrHintUnverified) {
				t.Errorf("a hint with another signature: got %v, want ErrHintUnverified", err)
			}
		})
	}
	for name, key := range map[string]any{
		"secret": []byte("secret"), "public half": &signingKey().PublicKey,
		"wrong algorithm": &josev3.JSONWebKey{Key: rsaKey, Algorithm: "ES256"},
		"none":            &josev3.JSONWebKey{Key: rsaKey, Algorithm: "none"},
		"shared secret":   &josev3.JSONWebKey{Key: []byte("secret"), Algorithm: "HS256"},
	} {
		config := validConfig(t)
		config.Key = keyOf(key)
		if _, err := fositestore.Attach(t.Context(), config); err == nil ||
			!strings.Contains(err.Error(), "Config.Key") {
			t.Errorf("%s: want an error that names the key, got %v", name, err)
		}
	}
}

// logoutClient is a host's client type with logout settings.
type logoutClient struct {
	*fosite.DefaultClient
	uri string
}

func (c *logoutClient) GetBackChannelLogoutURI() string            { return c.uri }
func (c *logoutClient) GetBackChannelLogoutSessionRequired() bool  { return true }
func (c *logoutClient) GetFrontChannelLogoutURI() string           { return c.uri + "/front" }
func (c *logoutClient) GetFrontChannelLogoutSessionRequired() bool { return true }
func (c *logoutClient) GetPostLogoutRedirectURIs() []string {
	return []string{"https://app.example/bye"}
}

func TestClientsLogoutSettings(t *testing.T) {
	t.Parallel()
	memory := storage.NewMemoryStore()
	memory.Clients["own"] = &logoutClient{
		&fosite.DefaultClient{ID: "own", RedirectURIs: []string{"https://own.example:443/callback"}},
		"https://own.example/logout",
	}
	// Front-Channel Logout 1.0, section 2: scheme, host and port MUST be those of a redirect URI.
	memory.Clients["elsewhere"] = &logoutClient{
		&fosite.DefaultClient{
			ID:           "elsewhere",
			RedirectURIs: []string{"https://elsewhere.example:8443/cb", "http://elsewhere.example"},
		},
		"https://elsewhere.example/logout",
	}
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
	bye := []string{"https://app.example/bye"}
	for id, want := range map[string]*logout.Client{
		"own": {
			ClientID: "own", BackChannelLogoutURI: "https://own.example/logout", SessionRequired: true,
			FrontChannelLogoutURI: "https://own.example/logout/front", FrontChannelSessionRequired: true,
			PostLogoutRedirectURIs: bye,
		},
		"elsewhere": {
			ClientID: "elsewhere", BackChannelLogoutURI: "https://elsewhere.example/logout",
			SessionRequired:             true,
			FrontChannelSessionRequired: true, PostLogoutRedirectURIs: bye,
		},
		"mapped": {ClientID: "mapped", BackChannelLogoutURI: "https://mapped.example/logout"},
		"plain":  {ClientID: "plain"},
	} {
		got, err := fositestore.LogoutClient(t.Context(), sessions, id)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("client %s: %v (-want +got):\n%s", id, err, diff)
		}
	}
	if _, err := fositestore.LogoutClient(t.Context(), sessions,
		"nobody"); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("unknown client: want ErrNotFound, got %v", err)
	}
}
