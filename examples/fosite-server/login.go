package main

// The sign-in page.

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// loginForm is the data of the sign-in page.
type loginForm struct {
	Form, Client, Current, Username, Problem string
	Demo                                     []demoUser
	// target is the client's redirect URI: browsers apply the page's form policy to redirects too.
	target string
}

// loginPage shows a sign-in that no client requested.
func (p *provider) loginPage(w http.ResponseWriter, r *http.Request) {
	session, err := p.sessions.Session(r)
	if err != nil {
		p.unavailable(w, r, err)
		return
	}
	p.showLogin(w, r, http.StatusOK, pending{Started: time.Now()}, loginForm{Current: nameIn(session)})
}

func (p *provider) showLogin(
	w http.ResponseWriter, r *http.Request, status int, request pending, page loginForm,
) {
	page.Form, page.Demo = p.forms.token(w, r, form{pending: request, Purpose: forSignIn}), p.hints
	p.render(w, r, status, "login", "Sign in", page, page.target)
}

// login handles the sign-in form and continues the authorization request that it was shown for, if any. The
// form is bound only to the browser: the password determines the user, not the existing session.
func (p *provider) login(w http.ResponseWriter, r *http.Request) {
	opened, err := p.forms.open(r, forSignIn)
	if opened == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	request, username := &opened.pending, r.PostFormValue("username")
	if err != nil {
		p.tryAgain(w, r, *request, http.StatusOK, loginForm{
			Username: username,
			Problem:  "This page was open for too long, or in another browser. Please sign in once more.",
		})
		return
	}
	u := p.checkPassword(w, r, *request, username)
	if u == nil {
		return
	}
	_, err = p.sessions.SignIn(w, r,
		hostadapter.Identity{Subject: u.subject, DisplayName: u.name, AMR: []string{"pwd"}})
	if errors.Is(err, ticketstore.ErrTooManySessions) {
		p.tryAgain(w, r, *request, http.StatusForbidden, loginForm{
			Username: username,
			Problem:  "You are signed in on as many devices as you may be. Sign out on one of them first.",
		})
		return
	}
	if err != nil {
		p.unavailable(w, r, err)
		return
	}
	p.throttle.remember(w, r, username)
	if request.Query == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	p.proceed(w, r, *request, reply{})
}

// checkPassword returns the user if the form's password is right. Otherwise, or if there were too many
// attempts, it answers the request.
func (p *provider) checkPassword(
	w http.ResponseWriter, r *http.Request, request pending, username string,
) *user {
	succeed, wait, err := p.throttle.try(r, username, p.sessions.RemoteAddr(r), time.Now())
	if err != nil {
		p.unavailable(w, r, err)
		return nil
	}
	if wait > 0 {
		seconds := int(wait/time.Second) + 1
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		p.tryAgain(w, r, request, http.StatusTooManyRequests, loginForm{
			Username: username, Problem: fmt.Sprintf("Too many attempts. Please wait %d seconds.", seconds),
		})
		return nil
	}
	u, err := p.users.authenticate(username, r.PostFormValue("password"))
	if err != nil {
		p.limitedLogger(r).InfoContext(r.Context(), "sign-in failed")
		p.tryAgain(w, r, request, http.StatusUnauthorized, loginForm{
			Username: username, Problem: "User name or password is wrong.",
		})
		return nil
	}
	if err := succeed(); err != nil {
		p.unavailable(w, r, err)
		return nil
	}
	return u
}

// tryAgain shows the form with an error.
func (p *provider) tryAgain(
	w http.ResponseWriter, r *http.Request, request pending, status int, page loginForm,
) {
	if request.Query != "" {
		if ar, err := p.oauth2.NewAuthorizeRequest(r.Context(), request.request(r)); err == nil {
			page.Client, page.target = nameOf(ar), originOf(ar.GetRedirectURI())
		}
	}
	p.showLogin(w, r, status, request, page)
}
