package hostadapter

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

// fuzzed returns an adapter without a backend: the fuzzed code must not call one.
func fuzzed(f *testing.F) *Adapter {
	f.Helper()
	ring, err := newKeyRing([][]byte{bytes.Repeat([]byte("new"), 16), bytes.Repeat([]byte("old"), 16)})
	if err != nil {
		f.Fatal(err)
	}
	clients := logout.ClientMap{
		"shop": {ClientID: "shop", PostLogoutRedirectURIs: []string{"https://shop.example/bye?x=1"}},
	}
	return &Adapter{ring: ring, config: Config{
		Cookie: CookieConfig{Name: "__Host-sid"}, Issuer: "https://op.example", Clients: clients,
		Now:    func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
		Logger: slog.New(slog.DiscardHandler),
	}}
}

// FuzzCookie: a cookie is accepted only in the canonical encoding of its secret.
func FuzzCookie(f *testing.F) {
	good := newSecret().value()
	for _, seed := range []string{
		"__Host-sid=" + good, `__Host-sid="` + good + `"`, "__Host-sid=" + good[:42],
		"__Host-sid=" + good + "=", "a=b; __Host-sid=x; __Host-sid=" + good,
		"__Host-sid=" + good[:42] + "_", "__host-sid=" + good, "__Host-sid", ";;=;",
		"__Host-sid=" + strings.Repeat("A", 4096), "\xff=\x00",
	} {
		f.Add(seed)
	}
	a := fuzzed(f)
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header["Cookie"] = []string{header}
		secrets, present := a.readCookies(r)
		if len(secrets) > 0 && !present || len(secrets) > maxCookies {
			t.Fatalf("%d secrets, a cookie: %t", len(secrets), present)
		}
		for _, s := range secrets {
			if !strings.Contains(header, s.value()) {
				t.Fatalf("%q is accepted as secret %s, whose encoding differs", header, s.value())
			}
		}
	})
}

// FuzzUnseal: only unmodified sealed bytes open, and only for their purpose and id.
func FuzzUnseal(f *testing.F) {
	// The keys belong to this process: data sealed by a different process is a forgery here.
	one, other := newSecret(), newSecret()
	ring, err := newKeyRing([][]byte{one[:], other[:]})
	if err != nil {
		f.Fatal(err)
	}
	sealed := ring.seal("grant", []byte("id"), []byte("plain"))
	f.Add([]byte("plain"), []byte("id"), sealed, uint16(7))
	f.Add([]byte{}, []byte{}, sealed[:len(sealed)-1], uint16(0))
	f.Add([]byte("x"), []byte("y"), []byte{sealVersion}, uint16(0xffff))
	f.Add([]byte("x"), []byte("y"), append([]byte{0xff}, sealed[1:]...), uint16(3))
	f.Fuzz(func(t *testing.T, plain, id, forged []byte, flip uint16) {
		if _, err := ring.unseal("grant", id, forged); !errors.Is(err, ErrSealed) &&
			!bytes.Equal(forged, sealed) {
			t.Fatalf("%x: got %v, want ErrSealed", forged, err)
		}
		made := ring.seal("grant", id, plain)
		got, err := ring.unseal("grant", id, made)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("sealed data opens as %x, %v; want %x", got, err, plain)
		}
		if _, err := ring.unseal("grants", id, made); !errors.Is(err, ErrSealed) {
			t.Fatalf("different purpose: got %v, want ErrSealed", err)
		}
		if _, err := ring.unseal("grant", append([]byte("x"), id...), made); !errors.Is(err, ErrSealed) {
			t.Fatalf("different id: got %v, want ErrSealed", err)
		}
		made[int(flip)%len(made)] ^= 1 << (flip >> 8 % 8)
		if _, err := ring.unseal("grant", id, made); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d changed: got %v, want ErrSealed", int(flip)%len(made), err)
		}
	})
}

// hintOf is a verifier that accepts "sub/client" as an ID token, and "sub/client?" as one with an unknown
// key. Its tokens belong to no session, because there is no backend.
type hintOf struct{}

func (hintOf) Verify(_ context.Context, token string) (*IDTokenHint, error) {
	subject, client, ok := strings.Cut(token, "/")
	switch {
	case !ok:
		return nil, errors.New("malformed")
	case strings.HasSuffix(client, "?"):
		return nil, ErrHintUnverified
	}
	return &IDTokenHint{Subject: subject, Audience: strings.Split(client, ",")}, nil
}

// FuzzEndSession: the end-session endpoint redirects a browser without a session only to a registered address
// or to the endpoint itself, whatever the request.
func FuzzEndSession(f *testing.F) {
	a := fuzzed(f)
	a.config.Hints = hintOf{}
	resume := a.sealRequest(resumePurpose, &endRequest{Redirect: "https://shop.example/bye?x=1"})
	for _, seed := range []string{
		"",
		"client_id=shop&post_logout_redirect_uri=https%3A%2F%2Fshop.example%2Fbye%3Fx%3D1&" +
			"state=%0d%0aSet-Cookie%3A+a", "resume=" + resume,
		"id_token_hint=a/shop&post_logout_redirect_uri=https%3A%2F%2Fevil.example", "resume=AA",
		"confirm=" + resume, "state=a&state=b", "%zz", "a;b",
		"id_token_hint=a/shop&client_id=mail", "id_token_hint=a/shop,mail&post_logout_redirect_uri=x",
		"id_token_hint=a/shop%3F&ui_locales=de+en", "post_logout_redirect_uri=javascript:alert(1)",
		"confirm=", "id_token_hint=%ff",
	} {
		f.Add(true, seed)
		f.Add(false, seed)
	}
	f.Fuzz(func(t *testing.T, post bool, parameters string) {
		r := httptest.NewRequest(http.MethodGet, "/logout", http.NoBody)
		r.URL.RawQuery = parameters
		if post {
			r = httptest.NewRequest(http.MethodPost, "/logout", strings.NewReader(parameters))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		a.EndSession().ServeHTTP(w, r)
		location := w.Header().Get("Location")
		switch {
		case w.Code >= http.StatusInternalServerError:
			t.Fatalf("status %d is a server error", w.Code)
		case strings.ContainsAny(location, "\r\n"):
			t.Fatalf("the address has a line break: %q", location)
		case location == "" || strings.HasPrefix(location, "?") &&
			strings.HasPrefix(location, "?"+paramResume+"="), location == "?":
		default:
			to, err := url.Parse(location)
			if err != nil || to.Scheme != "https" || to.Host != "shop.example" || to.Path != "/bye" ||
				!strings.HasPrefix(to.RawQuery, "x=1") {
				t.Fatalf("the browser is redirected to %q", location)
			}
		}
	})
}
