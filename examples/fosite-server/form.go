package main

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// formLifetime is how long a page with a form may stay open.
const formLifetime = time.Hour

// pending is an authorization request that waits for its user to sign in or to consent. It travels in the forms.
type pending struct {
	// Query holds the parameters of the authorization request; empty for a sign-in that nobody asked for.
	Query string `json:"q"`
	// Started is when the request came: a later sign-in satisfies prompt=login and max_age.
	Started time.Time `json:"t"`
}

// request returns r as if it were the authorization request itself, whatever form it really came from.
func (p *pending) request(r *http.Request) (*http.Request, error) {
	form, err := url.ParseQuery(p.Query)
	if err != nil {
		return nil, err
	}
	clone := r.Clone(r.Context())
	clone.Method, clone.Body, clone.Form, clone.PostForm = http.MethodGet, http.NoBody, form, url.Values{}
	clone.URL = &url.URL{Path: pathAuthorize, RawQuery: p.Query}
	clone.Header.Del("Content-Type")
	return clone, nil
}

// forms protects forms against forgery: a form's token is signed over its content and over a cookie of the browser that it was made for.
type forms struct {
	key    []byte
	cookie string
	secure bool
	now    func() time.Time
}

var errForm = errors.New("this page was opened in another browser, or too long ago")

func newForms(globalSecret []byte, issuer string) (*forms, error) {
	key, err := hkdf.Key(sha256.New, globalSecret, nil, "fosite-server forms", sha256.Size)
	if err != nil {
		return nil, err
	}
	f := &forms{key: key, cookie: "fosite_server_form", secure: strings.HasPrefix(issuer, "https:"), now: time.Now}
	if f.secure {
		f.cookie = "__Host-" + f.cookie
	}
	return f, nil
}

// token returns the hidden value of a form for the browser of r, and sets the cookie that goes with it.
func (f *forms) token(w http.ResponseWriter, r *http.Request, p pending) (string, error) {
	browser := f.browser(r)
	if browser == "" {
		browser = randomText()
		//nolint:gosec // Secure follows the issuer's scheme: behind a proxy r.TLS says nothing.
		http.SetCookie(w, &http.Cookie{
			Name: f.cookie, Value: browser, Path: "/", HttpOnly: true, Secure: f.secure, SameSite: http.SameSiteLaxMode,
		})
	}
	content, err := json.Marshal(struct {
		pending
		Made time.Time `json:"m"`
	}{p, f.now()})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(f.sign(browser, content), content...)), nil
}

// open returns what a form carried, or errForm.
func (f *forms) open(r *http.Request) (*pending, error) {
	raw, err := base64.RawURLEncoding.DecodeString(r.PostFormValue("form"))
	if err != nil || len(raw) < sha256.Size {
		return nil, errForm
	}
	browser, sum, content := f.browser(r), raw[:sha256.Size], raw[sha256.Size:]
	if browser == "" || !hmac.Equal(sum, f.sign(browser, content)) {
		return nil, errForm
	}
	var opened struct {
		pending
		Made time.Time `json:"m"`
	}
	if err := json.Unmarshal(content, &opened); err != nil || f.now().Sub(opened.Made) > formLifetime {
		return nil, errForm
	}
	return &opened.pending, nil
}

func (f *forms) browser(r *http.Request) string {
	cookie, err := r.Cookie(f.cookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (f *forms) sign(browser string, content []byte) []byte {
	mac := hmac.New(sha256.New, f.key)
	mac.Write([]byte(browser))
	mac.Write([]byte{0}) // no cookie has it
	mac.Write(content)
	return mac.Sum(nil)
}
