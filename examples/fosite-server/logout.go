package main

// The sign-out pages.

import (
	"html/template"
	"net/http"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// These values are inserted unescaped: the script whose hash is in the page's policy, and registered URLs.
func logoutScript() template.JS { return hostadapter.LogoutScript }
func registered(uri string) template.URL {
	return template.URL(uri) //nolint:gosec // checked by the session manager
}

// logoutPage renders the pages of the end-session endpoint. Their policy allows frames and script; logoutPage
// adds this server's style.
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
