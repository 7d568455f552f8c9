package main

// The root page.

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// homePage is the data of the root page.
type homePage struct {
	User                                   string
	Since, SinceText, Expires, ExpiresText string
	Clients                                []string
	Apps                                   []link
}

func (p *provider) home(w http.ResponseWriter, r *http.Request) {
	session, err := p.sessions.Session(r)
	if err != nil {
		p.unavailable(w, r, err)
		return
	}
	data, title := homePage{User: nameIn(session)}, "Welcome"
	for _, d := range p.demo {
		data.Apps = append(data.Apps, link{Name: d.name, URL: d.url})
	}
	if session != nil {
		title = "Signed in"
		data.Since = session.AuthTime.Format(time.RFC3339)
		data.SinceText = session.AuthTime.Local().Format("2 January, 15:04")
		data.Expires = session.Expires.Format(time.RFC3339)
		data.ExpiresText = session.Expires.Local().Format("2 January, 15:04")
		if data.Clients, err = p.usedClients(r.Context(), session); err != nil {
			p.unavailable(w, r, err)
			return
		}
	}
	p.render(w, r, http.StatusOK, "home", title, data, "")
}

// usedClients returns the names of the clients that used a session.
func (p *provider) usedClients(ctx context.Context, session *hostadapter.Session) ([]string, error) {
	detail, err := p.sessions.Backend().Tickets().Find(ctx, session.SessionID)
	if errors.Is(err, ticketstore.ErrNotFound) {
		return nil, nil // it has just ended
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, use := range detail.Clients {
		if c := p.clients[use.ClientID]; c != nil {
			names = append(names, c.displayName())
		}
	}
	return names, nil
}
