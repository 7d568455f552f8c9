package main

// Who may use the admin routes, and the operators' sign-in.

import (
	"context"
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

	// operatorLifetime is how long an operator's cookie is valid.
	operatorLifetime = time.Hour
)

// operators knows who may use the admin routes: any bearer of the admin token, and a browser in which it was
// given on the sign-in page. That browser keeps no token but a signed cookie, which is valid for an hour.
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
	// With another admin token the cookies of the old one are worthless.
	o.signer = newSigner(s.global, "operator "+string(o.token[:]))
	return o
}

// authorize is the admin routes' Authorizer: an actor that it knows may do everything.
func (o *operators) authorize(r *http.Request, _ admin.Permission) (admin.Actor, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || !o.isToken(token) {
			return admin.Actor{}, admin.ErrUnauthenticated
		}
		return admin.Actor{Name: "admin"}, nil
	}
	open, err := o.open(r)
	switch {
	case errors.Is(err, ticketstore.ErrUnavailable) && saysWhatIsWrong(r):
		open = true // the cookie is ours; whether it was signed out is not known meanwhile
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

// statusPages say what the store is and what is wrong with it. They have counts, and no data of a user.
var statusPages = []string{pathAdmin + "/backend", pathAdminPage + "backend", pathAdminPage + "activity"}

// saysWhatIsWrong reports whether a request is for a page that operators need most while the store is down.
func saysWhatIsWrong(r *http.Request) bool {
	return r.Method == http.MethodGet && slices.Contains(statusPages, r.URL.Path)
}

func (o *operators) isToken(given string) bool {
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], o.token[:]) == 1
}

// operatorPass is what a cookie says.
type operatorPass struct {
	Nonce   string    `json:"n"`
	Expires time.Time `json:"e"`
}

// issue returns a new cookie value.
func (o *operators) issue() string {
	return o.signer.token(operatorPass{randomID(), o.now().Add(operatorLifetime)})
}

// open reports whether a request has a cookie that is good: ours, not too old, and not signed out, at any
// server. An error means that it has one of ours, and that the store does not say the rest.
func (o *operators) open(r *http.Request) (bool, error) {
	for _, pass := range o.presented(r) {
		if ended, err := o.marks.isSet(r.Context(), o.now(), o.ended(pass)); err != nil || !ended {
			return err == nil, err
		}
	}
	return false, nil
}

// ended is the mark of a cookie that was signed out before its time.
func (o *operators) ended(pass operatorPass) mark {
	// Longer than any server takes the cookie, whose clocks differ.
	return o.marks.of(pass.Expires.Add(time.Minute), "operator", pass.Nonce)
}

// presented returns what the cookies of a request say that are ours and not too old.
func (o *operators) presented(r *http.Request) []operatorPass {
	return slices.DeleteFunc(signedCookies[operatorPass](r, o.cookie.name, o.signer),
		func(pass operatorPass) bool { return !o.now().Before(pass.Expires) })
}

// end makes cookies worthless before their time. After an error it is to be called again.
func (o *operators) end(ctx context.Context, passes []operatorPass) error {
	var errs []error
	for _, pass := range passes {
		_, err := o.marks.set(ctx, o.now(), o.ended(pass))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// operatorRoutes serves the operator's sign-in, under the path that the cookie is sent to.
func (p *provider) operatorRoutes(router *mux.Router) {
	router.HandleFunc(pathAdminSignIn, p.operatorPage).Methods(http.MethodGet, http.MethodHead)
	ours := http.NewCrossOriginProtection().Handler
	router.Handle(pathAdminSignIn, ours(http.HandlerFunc(p.operatorSignIn))).Methods(http.MethodPost)
	router.Handle(pathAdminSignOut, ours(http.HandlerFunc(p.operatorSignOut))).Methods(http.MethodPost)
	// Here, as the admin routes' own answer comes otherwise.
	router.Handle(pathAdminSignIn, takesOnly(http.MethodGet, http.MethodHead, http.MethodPost))
	router.Handle(pathAdminSignOut, takesOnly(http.MethodPost))
}

// operatorForm is the data of the operator's sign-in page.
type operatorForm struct{ Next, Problem string }

func (p *provider) operatorPage(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusOK, "operator", "Operator sign-in",
		operatorForm{Next: nextPage(r.URL.Query().Get("next"))}, "")
}

// operatorTries bounds the guesses at the admin token from one address.
var operatorTries = rate{burst: 20, every: 3 * time.Second}

// operatorAccount is what a browser is known for in which an operator has signed in.
const operatorAccount = "operator"

// try counts a sign-in as failed, as signInThrottle does. Failures elsewhere do not count, nor those of
// others in a browser in which an operator has signed in before.
func (o *operators) try(
	r *http.Request, address string,
) (succeed func() error, wait time.Duration, err error) {
	l := limit{operatorTries, "address", "", neighbourhood(address)}
	if id := o.browsers.known(r, operatorAccount); id != "" {
		l = limit{knownBrowser, "browser", "", id}
	}
	return o.marks.count(r.Context(), o.now(), func(taken *taken) time.Duration {
		return taken.take(&o.limiter, l, o.now())
	})
}

// operatorSignIn takes the admin token. The form needs no token of its own: it is of no use without the
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
		p.noting(r).WarnContext(r.Context(), "operator sign-in refused after too many failures")
		seconds := int(wait/time.Second) + 1
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		form.Problem = fmt.Sprintf("Too many attempts. Please wait %d seconds.", seconds)
		p.render(w, r, http.StatusTooManyRequests, "operator", "Operator sign-in", form, "")
		return
	}
	if !o.isToken(strings.TrimSpace(r.PostFormValue("token"))) {
		p.noting(r).WarnContext(r.Context(), "operator sign-in failed")
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

// operatorSignOut ends all that the browser has. Where that cannot be kept the browser keeps its cookies, so
// that it can ask again.
func (p *provider) operatorSignOut(w http.ResponseWriter, r *http.Request) {
	passes := p.operators.presented(r)
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

// nextPage returns where to go after the sign-in: to an address of the admin page, whatever was asked for.
func nextPage(wanted string) string {
	target, err := url.Parse(wanted)
	if err != nil || target.Scheme != "" || target.Host != "" ||
		!strings.HasPrefix(target.Path, pathAdminPage) || strings.Contains(target.Path, "..") {
		return pathAdminPage
	}
	return (&url.URL{Path: target.Path, RawQuery: target.RawQuery}).String()
}
