package hostadapter_test

// Cookies of issuers that share a host and differ by their path.

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// Issuers on one host that differ by their path share a browser's cookies without interfering.
func TestIssuersOnOneHost(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"https://op.example", "http://localhost:9000"} {
		jar := map[string]string{}
		var browsers []*browser
		for _, path := range []string{"", "/a", "/b", "/a/b", "/a_b"} {
			h := newHost(t, func(c *hostadapter.Config) { c.Issuer = base + path })
			browsers = append(browsers, &browser{h: h, cookies: jar})
		}
		for i, b := range browsers {
			b.signIn(hostadapter.Identity{Subject: string(rune('a' + i))})
		}
		for i, b := range browsers {
			b.mustBe(string(rune('a' + i)))
		}
		if err := browsers[1].signOut(); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"a", "", "c", "d", "e"} {
			browsers[i].mustBe(want)
		}
		for name := range jar {
			if strings.HasPrefix(base, "https:") != strings.HasPrefix(name, "__Host-") {
				t.Errorf("%s: a cookie called %q", base, name)
			}
		}
	}
	// An issuer without a path keeps the default name.
	h := newHost(t, func(c *hostadapter.Config) { c.Issuer = "https://op.example/" })
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	if _, ok := b.cookies["__Host-"+hostadapter.DefaultCookieName]; !ok || len(b.cookies) != 1 {
		t.Errorf("cookies %v, want one by the default name", b.cookies)
	}
}

// Cookies of a release whose cookie names did not depend on the path remain valid until the sign-out.
func TestCookieNamedWithoutThePath(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(c *hostadapter.Config) { c.Issuer = "https://op.example/tenants/a" })
	b := h.browser()
	b.signIn(hostadapter.Identity{Subject: "ann"})
	for name, value := range b.cookies {
		delete(b.cookies, name)
		b.cookies["__Host-"+hostadapter.DefaultCookieName] = value
	}
	b.mustBe("ann")
	b.signIn(hostadapter.Identity{Subject: "bob"})
	b.mustBe("bob")
	if err := b.signOut(); err != nil {
		t.Fatal(err)
	}
	b.mustBe("")
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: hostadapter.DefaultCookieName, Value: "x"})
	if session, err := h.Session(r); err != nil || session != nil {
		t.Errorf("%+v, %v; want nobody", session, err)
	}
}
