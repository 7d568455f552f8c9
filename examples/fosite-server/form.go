package main

// Signed forms of the sign-in and consent pages.

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// formLifetime is how long a page with a form stays valid.
const formLifetime = time.Hour

// pending is an authorization request that waits for sign-in or consent. The forms carry it.
type pending struct {
	// Query holds the parameters of the authorization request; it is empty for a sign-in without a request.
	Query string `json:"q"`
	// Started is when the request arrived: a later sign-in satisfies prompt=login and max_age.
	Started time.Time `json:"t"`
}

// request returns r converted to the original authorization request.
func (p *pending) request(r *http.Request) *http.Request {
	form, _ := url.ParseQuery(p.Query) // this server has encoded it
	clone := r.Clone(r.Context())
	clone.Method, clone.Body, clone.Form, clone.PostForm = http.MethodGet, http.NoBody, form, url.Values{}
	clone.URL = &url.URL{Path: pathAuthorize, RawQuery: p.Query}
	clone.Header.Del("Content-Type")
	return clone
}

// purpose is the purpose of a form. A form is valid for one purpose only.
type purpose string

const (
	forSignIn  purpose = "sign-in"
	forConsent purpose = "consent"
)

// form is the signed content of a form's token.
type form struct {
	pending
	Purpose purpose `json:"p"`
	// Browser is the hash of a cookie of the browser that the page was made for.
	Browser []byte `json:"b"`
	// SessionID is the session of the user that the page names, or "". Shown is the hash of everything else
	// that the page asks the user about.
	SessionID string `json:"s,omitempty"`
	Shown     []byte `json:"w,omitempty"`
	// ID makes a form that grants something usable only once.
	ID   string    `json:"i"`
	Made time.Time `json:"m"`
}

// forms protects forms against forgery, and against use for something that they did not show.
type forms struct {
	signer signer
	cookie cookie
	now    func() time.Time
	marks  *marks
}

var (
	// errNoForm means that the request has no valid form token.
	errNoForm = errors.New("this form was not made by this server")
	// errStale means that the form is for another browser or purpose, or has expired. Its request can be
	// shown again.
	errStale = errors.New("this page was open for too long, or in another browser")
)

// maxFormCookies bounds the form cookies that are tried. A browser that opened several pages concurrently has
// several.
const maxFormCookies = 32

func newForms(globalSecret []byte, issuer string, m *marks) *forms {
	cookie := newCookie(issuer, "fosite_server_form", "/")
	return &forms{signer: newSigner(globalSecret, "forms"), cookie: cookie, now: time.Now, marks: m}
}

// token returns the hidden value of a form for the browser of r, and sets the accompanying cookie if the
// browser has none. Cookie names are unique, so that of two pages opened concurrently the second does not
// overwrite the first one's cookie.
func (f *forms) token(w http.ResponseWriter, r *http.Request, made form) string {
	browsers := f.browsers(r)
	if len(browsers) == 0 {
		browsers = []string{randomText()}
		f.cookie.set(w, "_"+rand.Text()[:8], browsers[0], 0)
	}
	made.Browser, made.ID, made.Made = hashOf(browsers[0]), rand.Text(), f.now()
	return f.signer.token(made)
}

// open returns the content of the request's form. It also returns it with errStale, so that the page can be
// shown again.
func (f *forms) open(r *http.Request, wanted purpose) (*form, error) {
	var opened form
	if !f.signer.open(r.PostFormValue("form"), &opened) {
		return nil, errNoForm
	}
	ours := slices.ContainsFunc(f.browsers(r), func(browser string) bool {
		return hmac.Equal(opened.Browser, hashOf(browser))
	})
	if !ours || opened.Purpose != wanted || f.now().Sub(opened.Made) > formLifetime {
		opened.Started = f.now() // treat its request as new
		return &opened, errStale
	}
	return &opened, nil
}

// useOnce reports whether this is the first use of the form, across all servers.
func (f *forms) useOnce(ctx context.Context, used *form) (bool, error) {
	// Longer than any server accepts the form, to allow for clock skew.
	until := used.Made.Add(formLifetime + time.Minute)
	return f.marks.set(ctx, f.now(), f.marks.of(until, "form", used.ID))
}

// browsers returns the values of the browser's form cookies.
func (f *forms) browsers(r *http.Request) (values []string) {
	for _, cookie := range r.Cookies() {
		ours := strings.HasPrefix(cookie.Name, f.cookie.name+"_")
		if ours && cookie.Value != "" && len(values) < maxFormCookies {
			values = append(values, cookie.Value)
		}
	}
	return values
}
