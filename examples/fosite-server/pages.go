package main

// Templates, static files and headers of the pages.

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed static
var staticFiles embed.FS

// pages are the templates by file name, each with the frame.
var pages = func() map[string]*template.Template {
	parsed := map[string]*template.Template{}
	for _, name := range []string{
		"home", "account", "login", "logout", "operator", "consent", "error", "demo",
	} {
		functions := template.FuncMap{"ago": ago, "script": logoutScript, "address": registered}
		parsed[name] = template.Must(template.New(name).Funcs(functions).ParseFS(pageFiles,
			"pages/frame.html", "pages/"+name+".html"))
	}
	return parsed
}()

// page is the data that the frame needs on every page.
type page struct {
	Title string
	// Site is the name at the top; Accent selects its color.
	Site   string
	Accent string
	// Script is the path of a script, or "".
	Script string
	Data   any
}

// siteName is the heading of the server's own pages.
const siteName = "Fosite Server"

// render renders a page as the response. formTarget is an additional origin to which a form may lead:
// browsers apply the policy to redirects too.
func render(w http.ResponseWriter, status int, name string, p page, formTarget string) error {
	policy := "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors " +
		"'none'; form-action 'self'"
	if formTarget != "" {
		policy += " " + formTarget
	}
	if p.Script != "" {
		policy += "; script-src 'self'; connect-src 'self'"
	}
	w.Header().Set("Content-Security-Policy", policy)
	return writePage(w, status, name, p)
}

// writePage renders a page whose policy is already set.
func writePage(w http.ResponseWriter, status int, name string, p page) error {
	var body bytes.Buffer
	if err := pages[name].ExecuteTemplate(&body, "frame", p); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, err := body.WriteTo(w)
	return err
}

// originOf returns the Content-Security-Policy source of a redirect target: its origin, or the scheme of an
// app's private URI.
func originOf(target *url.URL) string {
	switch {
	case target == nil:
		return ""
	case target.Scheme == "http" || target.Scheme == "https":
		return target.Scheme + "://" + target.Host
	}
	return target.Scheme + ":"
}

// withSecurityHeaders sets the headers of all responses. Cacheable responses override Cache-Control.
func withSecurityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		// With no-referrer, browsers would send "Origin: null" with the page's own forms.
		header.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// staticHandler serves the style sheet, the scripts and the icon.
func staticHandler() http.Handler {
	files, err := fs.Sub(staticFiles, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	serve := http.StripPrefix("/static/", http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r) // no directory listing
			return
		}
		w.Header().Set("Cache-Control", "max-age=300")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		serve.ServeHTTP(w, r)
	})
}
