package main

// Authorization of the admin routes, and the operators' sign-in.

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	pathAdminPage    = pathAdmin + "/ui/"
	pathAdminSignIn  = pathAdmin + "/sign-in"
	pathAdminSignOut = pathAdmin + "/sign-out"

	// operatorLifetime is the lifetime of an operator's cookie.
	operatorLifetime = time.Hour
)

// operators authorizes the admin routes: requests with the admin token as bearer token, and browsers in which
// it was entered on the sign-in page. Such a browser gets a signed cookie instead of the token, valid for an
// hour.
type operators struct {
	token    [sha256.Size]byte
	signer   signer
	cookie   cookie
	now      func() time.Time
	limiter  limiter
	browsers knownBrowsers
	marks    *marks
}

func newOperators(s *secrets, issuer string, m *marks) *operators {
	o := &operators{
		token: sha256.Sum256([]byte(s.adminToken)), now: time.Now, marks: m,
		cookie:   newCookie(issuer, "fosite_server_operator", pathAdmin),
		browsers: newKnownBrowsers(s.global, issuer, "known_operator", pathAdmin),
	}
	o.cookie.sameSite = http.SameSiteStrictMode
	// Changing the admin token invalidates the old token's cookies.
	o.signer = newSigner(s.global, "operator "+string(o.token[:]))
	return o
}

// authorize is the admin routes' Authorizer: known actors have all permissions.
func (o *operators) authorize(r *http.Request, _ admin.Permission) (admin.Actor, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		if !o.isBearer(header) {
			return admin.Actor{}, admin.ErrUnauthenticated
		}
		return admin.Actor{Name: "admin"}, nil
	}
	open, err := o.open(r)
	switch {
	case errors.Is(err, ticketstore.ErrUnavailable) && isStatusPage(r):
		open = true // the cookie is valid; whether it was signed out is unknown while the store is down
	case err != nil:
		return admin.Actor{}, err
	}
	if !open {
		next := pathAdminPage
		if r.Method == http.MethodGet {
			next = r.URL.RequestURI()
		}
		return admin.Actor{}, &admin.SignInError{URL: pathAdminSignIn + "?" + formOf("next", next)}
	}
	return admin.Actor{Name: "admin", SignOut: pathAdminSignOut}, nil
}

// statusPages show the store's health. They have counts, but no user data.
var statusPages = []string{pathAdmin + "/backend", pathAdminPage + "backend", pathAdminPage + "activity"}

// isStatusPage reports whether the request is for a page that operators need while the store is down.
func isStatusPage(r *http.Request) bool {
	return r.Method == http.MethodGet && slices.Contains(statusPages, r.URL.Path)
}

// isBearer reports whether an Authorization header has the admin token.
func (o *operators) isBearer(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	return strings.EqualFold(scheme, "Bearer") && o.isToken(token)
}

func (o *operators) isToken(given string) bool {
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], o.token[:]) == 1
}

// operatorPass is the content of a cookie.
type operatorPass struct {
	Nonce   string    `json:"n"`
	Expires time.Time `json:"e"`
}

// issue returns a new cookie value.
func (o *operators) issue() string {
	return o.signer.token(operatorPass{rand.Text(), o.now().Add(operatorLifetime)})
}

// open reports whether the request has a valid cookie: signed, unexpired, and not signed out at any server.
// An error means that the cookie is signed and unexpired, but the store is unavailable.
func (o *operators) open(r *http.Request) (bool, error) {
	for _, pass := range o.validPasses(r) {
		if ended, err := o.marks.isSet(r.Context(), o.now(), o.ended(pass)); err != nil || !ended {
			return err == nil, err
		}
	}
	return false, nil
}

// ended returns the mark of a cookie that was signed out before its expiry.
func (o *operators) ended(pass operatorPass) mark {
	// Longer than any server accepts the cookie, to allow for clock skew.
	return o.marks.of(pass.Expires.Add(time.Minute), "operator", pass.Nonce)
}

// validPasses returns the signed and unexpired contents of the request's cookies.
func (o *operators) validPasses(r *http.Request) []operatorPass {
	return slices.DeleteFunc(signedCookies[operatorPass](r, o.cookie.name, o.signer),
		func(pass operatorPass) bool { return !o.now().Before(pass.Expires) })
}

// end invalidates cookies before their expiry. Retry it after an error.
func (o *operators) end(ctx context.Context, passes []operatorPass) error {
	var errs []error
	for _, pass := range passes {
		_, err := o.marks.set(ctx, o.now(), o.ended(pass))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// operatorRoutes serves the operators' sign-in below the path of the cookie.
func (p *provider) operatorRoutes(router *mux.Router) {
	router.HandleFunc(pathAdminSignIn, p.operatorPage).Methods(http.MethodGet, http.MethodHead)
	ours := http.NewCrossOriginProtection().Handler
	router.Handle(pathAdminSignIn, ours(http.HandlerFunc(p.operatorSignIn))).Methods(http.MethodPost)
	router.Handle(pathAdminSignOut, ours(http.HandlerFunc(p.operatorSignOut))).Methods(http.MethodPost)
	// Registered here, because otherwise the admin routes would answer.
	router.Handle(pathAdminSignIn, answerNotAllowed(http.MethodGet, http.MethodHead, http.MethodPost))
	router.Handle(pathAdminSignOut, answerNotAllowed(http.MethodPost))
}

// operatorForm is the data of the operators' sign-in page.
type operatorForm struct{ Next, Problem string }

func (p *provider) operatorPage(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusOK, "operator", "Operator sign-in",
		operatorForm{Next: nextPage(r.URL.Query().Get("next"))}, "")
}

// operatorTries limits guesses at the admin token per address.
var operatorTries = rate{burst: 20, every: 3 * time.Second}

// operatorAccount is the account under which a browser of an operator is remembered.
const operatorAccount = "operator"

// try counts a sign-in as failed, as signInThrottle does. In a browser in which an operator has signed in
// before, failures elsewhere do not count.
func (o *operators) try(
	r *http.Request, address string,
) (succeed func() error, wait time.Duration, err error) {
	l := limit{operatorTries, "address", "", addressPrefix(address)}
	if id := o.browsers.known(r, operatorAccount); id != "" {
		l = limit{knownBrowser, "browser", "", id}
	}
	return o.marks.count(r.Context(), o.now(), func(taken *taken) time.Duration {
		return taken.take(&o.limiter, l, o.now())
	})
}

// operatorSignIn handles the admin token's form. The form needs no CSRF token: it is useless without the
// secret.
func (p *provider) operatorSignIn(w http.ResponseWriter, r *http.Request) {
	o, from := p.operators, p.sessions.RemoteAddr(r)
	form := operatorForm{Next: nextPage(r.PostFormValue("next"))}
	succeed, wait, err := o.try(r, from)
	if err != nil {
		p.unavailable(w, r, err)
		return
	}
	if wait > 0 {
		p.limitedLogger(r).WarnContext(r.Context(), "operator sign-in refused after too many failures")
		seconds := int(wait/time.Second) + 1
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		form.Problem = fmt.Sprintf("Too many attempts. Please wait %d seconds.", seconds)
		p.render(w, r, http.StatusTooManyRequests, "operator", "Operator sign-in", form, "")
		return
	}
	if !o.isToken(strings.TrimSpace(r.PostFormValue("token"))) {
		p.limitedLogger(r).WarnContext(r.Context(), "operator sign-in failed")
		form.Problem = "This is not the admin token."
		p.render(w, r, http.StatusUnauthorized, "operator", "Operator sign-in", form, "")
		return
	}
	if err := succeed(); err != nil {
		p.unavailable(w, r, err)
		return
	}
	o.browsers.remember(w, r, operatorAccount)
	p.logger.InfoContext(r.Context(), "operator signed in", "remote_addr", from)
	o.cookie.set(w, "", o.issue(), operatorLifetime)
	http.Redirect(w, r, form.Next, http.StatusSeeOther)
}

// operatorSignOut invalidates all of the browser's cookies. If that cannot be stored, the browser keeps them
// so that it can retry.
func (p *provider) operatorSignOut(w http.ResponseWriter, r *http.Request) {
	passes := p.operators.validPasses(r)
	if err := p.operators.end(r.Context(), passes); err != nil {
		p.unavailable(w, r, fmt.Errorf("an operator's sign-out was not kept: %w", err))
		return
	}
	if len(passes) > 0 {
		p.logger.InfoContext(r.Context(), "operator signed out", "remote_addr", p.sessions.RemoteAddr(r))
	}
	p.operators.cookie.set(w, "", "", -time.Second)
	http.Redirect(w, r, pathAdminSignIn, http.StatusSeeOther)
}

// nextPage returns the URL to open after the sign-in, which is always below the admin page.
func nextPage(wanted string) string {
	target, err := url.Parse(wanted)
	if err != nil || target.Scheme != "" || target.Host != "" ||
		!strings.HasPrefix(target.Path, pathAdminPage) || strings.Contains(target.Path, "..") {
		return pathAdminPage
	}
	return (&url.URL{Path: target.Path, RawQuery: target.RawQuery}).String()
}
