package main

// The pages of a sign-out.

import (
	"html/template"
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// What the page of a sign-out takes as it is: the script whose hash is in the page's policy, and addresses
// that were registered.
func logoutScript() template.JS { return hostadapter.LogoutScript }
func registered(uri string) template.URL {
	return template.URL(uri) //nolint:gosec // checked by the session manager
}

// logoutPage shows the pages of the end-session endpoint. The policy that they come with lets frames and
// script in; our style is to be added.
func (p *provider) logoutPage(w http.ResponseWriter, r *http.Request, content *hostadapter.LogoutPage) {
	data := struct {
		*hostadapter.LogoutPage
		Client string
	}{LogoutPage: content}
	if content.ClientID != "" {
		data.Client = p.clientName(content.ClientID)
	}
	header := w.Header()
	header.Set("Content-Security-Policy",
		header.Get("Content-Security-Policy")+"; style-src 'self'; img-src 'self'")
	if err := writePage(w, content.Status, "logout",
		page{Title: content.Title, Site: siteName, Accent: "server", Data: data}); err != nil {
		p.logger.WarnContext(r.Context(), "page was not written", "page", "logout", "error", err)
	}
}
