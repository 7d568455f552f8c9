package main

// The host's page on which users see their sessions.

import (
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/account"
)

// accountPage renders the page with the user's sessions and consents.
func (p *provider) accountPage(w http.ResponseWriter, r *http.Request, page *account.Page) {
	data := struct {
		*account.Page
		Others int
	}{page, len(page.Sessions) - 1}
	p.render(w, r, http.StatusOK, "account", "Where you are signed in", data, "")
}

// clientName returns the client's display name.
func (p *provider) clientName(id string) string {
	if c := p.clients[id]; c != nil {
		return c.displayName()
	}
	return id
}

// ago formats how long ago a time was.
func ago(t time.Time) string {
	switch age := time.Since(t); {
	case age < 2*time.Minute:
		return "just now"
	case age < 24*time.Hour:
		return "at " + t.Local().Format("15:04")
	}
	return "on " + t.Local().Format("2 January")
}
