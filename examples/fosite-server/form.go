package main

// Signed forms: what a sign-in or consent page carries.

import (
	"context"
	"crypto/hmac"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// formLifetime is how long a page with a form may stay open.
const formLifetime = time.Hour

// pending is an authorization request that waits for its user to sign in or to consent. It travels in the
// forms.
type pending struct {
	// Query holds the parameters of the authorization request; empty for a sign-in without a request.
	Query string `json:"q"`
	// Started is when the request came: a later sign-in satisfies prompt=login and max_age.
	Started time.Time `json:"t"`
}

// request returns r as if it were the authorization request itself, whatever form it really came from.
func (p *pending) request(r *http.Request) *http.Request {
	form, _ := url.ParseQuery(p.Query) // this server has encoded it
	clone := r.Clone(r.Context())
	clone.Method, clone.Body, clone.Form, clone.PostForm = http.MethodGet, http.NoBody, form, url.Values{}
	clone.URL = &url.URL{Path: pathAuthorize, RawQuery: p.Query}
	clone.Header.Del("Content-Type")
	return clone
}

// purpose is what a form is for. A form for one purpose is of no use for another.
type purpose string

const (
	forSignIn  purpose = "sign-in"
	forConsent purpose = "consent"
)

// form is what a form's token says of the page that it is on.
type form struct {
	pending
	Purpose purpose `json:"p"`
	// Browser is the hash of a cookie of the browser that the page was made for.
	Browser []byte `json:"b"`
	// SessionID is the session of the user whom the page names, empty for none. Shown is the hash of what
	// else the page asks the user about.
	SessionID string `json:"s,omitempty"`
	Shown     []byte `json:"w,omitempty"`
	// ID is what a form that grants something can be used by once.
	ID   string    `json:"i"`
	Made time.Time `json:"m"`
}

// forms protects forms against forgery, and against being taken for what they did not show.
type forms struct {
	signer signer
	cookie cookie
	now    func() time.Time
	marks  *marks
}

var (
	// errNoForm: nothing that was sent is a form of ours.
	errNoForm = errors.New("this form was not made by this server")
	// errStale: the form is ours, but of another browser, for another purpose, or too old. Its request can be
	// shown again.
	errStale = errors.New("this page was open for too long, or in another browser")
)

// maxFormCookies bounds the cookies of forms that are tried. A browser has more than one where it opened
// several pages at once.
const maxFormCookies = 32

func newForms(globalSecret []byte, issuer string, m *marks) *forms {
	cookie := newCookie(issuer, "fosite_server_form", "/")
	return &forms{signer: newSigner(globalSecret, "forms"), cookie: cookie, now: time.Now, marks: m}
}

// token returns the hidden value of a form for the browser of r, and sets the cookie that goes with it where
// there is none. Each such cookie has a name of its own: of two pages that are opened at once, the second
// must not take away the first one's.
func (f *forms) token(w http.ResponseWriter, r *http.Request, made form) string {
	browsers := f.browsers(r)
	if len(browsers) == 0 {
		browsers = []string{randomText()}
		f.cookie.set(w, "_"+randomID()[:8], browsers[0], 0)
	}
	made.Browser, made.ID, made.Made = hashOf(browsers[0]), randomID(), f.now()
	return f.signer.token(made)
}

// open returns what the form of a request carries. With errStale it returns it too, for the page to be shown
// again.
func (f *forms) open(r *http.Request, wanted purpose) (*form, error) {
	var opened form
	if !f.signer.open(r.PostFormValue("form"), &opened) {
		return nil, errNoForm
	}
	ours := slices.ContainsFunc(f.browsers(r), func(browser string) bool {
		return hmac.Equal(opened.Browser, hashOf(browser))
	})
	if !ours || opened.Purpose != wanted || f.now().Sub(opened.Made) > formLifetime {
		opened.Started = f.now() // as if its request came now
		return &opened, errStale
	}
	return &opened, nil
}

// spend reports whether the form is used for the first time, at any server.
func (f *forms) spend(ctx context.Context, used *form) (bool, error) {
	// Longer than any server takes the form, whose clocks differ.
	until := used.Made.Add(formLifetime + time.Minute)
	return f.marks.set(ctx, f.now(), f.marks.of(until, "form", used.ID))
}

// browsers returns the values of the browser's cookies of forms.
func (f *forms) browsers(r *http.Request) (values []string) {
	for _, cookie := range r.Cookies() {
		ours := strings.HasPrefix(cookie.Name, f.cookie.name+"_")
		if ours && cookie.Value != "" && len(values) < maxFormCookies {
			values = append(values, cookie.Value)
		}
	}
	return values
}
