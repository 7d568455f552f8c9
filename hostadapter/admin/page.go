package admin

// The admin page: templates, headers, static files.

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/gorilla/mux"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed static/*
var staticFiles embed.FS

// pageTemplates holds the pages by file name, each with the frame and the shared parts.
var pageTemplates = func() map[string]*template.Template {
	parsed := map[string]*template.Template{}
	shared := template.Must(template.New("").Funcs(pageFuncs).ParseFS(pageFiles, "pages/frame.html",
		"pages/parts.html"))
	for _, name := range []string{
		"sessions", "session", "search", "removal", "removed", "deliveries", "activity", "backend",
		"job", "error",
	} {
		parsed[name] = template.Must(template.Must(shared.Clone()).ParseFS(pageFiles, "pages/"+name+".html"))
	}
	return parsed
}()

// staticVersion changes with the static files, so that browsers may cache them.
var staticVersion = func() string {
	sum := sha256.New()
	for _, name := range []string{"static/style.css", "static/page.js", "static/icon.svg"} {
		raw, err := staticFiles.ReadFile(name)
		if err != nil {
			panic(err) // the files are embedded
		}
		sum.Write(raw)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}()

// pagePolicy allows a page to load its own style, script and icon, to send forms to its own origin, and
// nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// mountPages adds the admin page. All of its addresses are siblings below ui/, with ids in the query, so that
// relative links work regardless of where the routes are mounted and of what a proxy does to the path.
//
// The forms carry no CSRF token: each change passes http.CrossOriginProtection, which refuses requests that
// the page of another site, or of a sibling domain, makes a browser send. A token would only add support for
// browsers that send neither Sec-Fetch-Site nor Origin, which cannot render the page anyway. No site may
// frame the page.
func (m *mount) mountPages(router *mux.Router) {
	for _, path := range []string{"", "/", "/ui"} {
		router.Handle(path, readOnly(redirectTo("ui/")))
	}
	router.PathPrefix("/ui/static/").Handler(readOnly(staticHandler()))
	for _, at := range []struct {
		path string
		of   routes
	}{
		{"", get(m.sessionsPage)},
		{"session", get(m.sessionPage)},
		{"search", get(m.searchPage)},
		{"removed", get(m.removedPage)},
		{"revoke", post("remove_grants", withForm(m.revokeFromPage))},
		{"remove", routes{
			http.MethodGet:  change("preview_removal", m.removalPage),
			http.MethodPost: change("remove_sessions", m.removalPage),
		}},
		{"deliveries", get(m.deliveriesPage)},
		{"retry", post("retry_delivery", withForm(m.retryFromPage))},
		{"retry-all", post("retry_deliveries", withForm(m.retryAllFromPage))},
		{"activity", get(noQuery(m.activityPage))},
		{"backend", get(noQuery(m.backendPage))},
		{"job", get(m.jobPage)},
		{"swap", post("swap_backend", withForm(m.swapFromPage))},
		{"abort-swap", post("abort_swap", withForm(m.abortFromPage))},
		{"{rest:.*}", get(func(http.ResponseWriter, *http.Request, *audit) error {
			return &problem{status: http.StatusNotFound, detail: "There is nothing at this address."}
		})},
	} {
		router.Handle("/ui/"+at.path, m.dispatch(at.of, m.failPage))
	}
}

// readOnly allows only GET and HEAD, for public resources.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w)
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			writeProblem(w, http.StatusMethodNotAllowed,
				"This address does not take the method "+quoteMethod(r.Method)+".", "")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// redirectTo redirects to a URL relative to that of the request, which a proxy may have changed.
func redirectTo(target string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		location, at := target, r.URL.Path
		if at == "" { // http.StripPrefix removed the whole path
			at, _, _ = strings.Cut(r.RequestURI, "?")
		}
		if !strings.HasSuffix(at, "/") && !strings.HasSuffix(at, "/ui") {
			location = (&url.URL{Path: path.Base(at) + "/" + target}).String()
		}
		seeOther(w, location)
	})
}

func seeOther(w http.ResponseWriter, location string) {
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}

// staticHandler serves style, script and icon without authorization: they reveal nothing about this server,
// and error pages need them.
func staticHandler() http.Handler {
	files, err := fs.Sub(staticFiles, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		name := path.Base(r.URL.Path)
		if info, err := fs.Stat(files, name); err != nil || info.IsDir() ||
			!strings.HasSuffix(r.URL.Path, "/static/"+name) {
			writeProblem(w, http.StatusNotFound, "There is nothing at this address.", "")
			return
		}
		if r.URL.Query().Get("v") == staticVersion {
			w.Header().Set("Cache-Control", "max-age=31536000, immutable")
		}
		http.ServeFileFS(w, r, files, name)
	})
}

// view is the data that the frame needs on every page.
type view struct {
	Title string
	// Section is the page's entry in the navigation.
	Section string
	// Root is the relative URL of ui/, Version identifies the current static files.
	Root    string
	Version string
	// Actor is zero if the request is not authenticated.
	Actor Actor
	// MayChange reports whether the actor may change sessions, so that buttons are shown.
	MayChange bool
	Now       time.Time
	Data      any
}

// show renders a page as the response.
func (m *mount) show(
	w http.ResponseWriter, r *http.Request, record *audit, status int, name string, v view,
) error {
	v.Actor, v.Version, v.Now = record.actor, staticVersion, m.sessions.Now()
	if _, err := m.ask(r, ChangeSessions); err == nil {
		v.MayChange = true
	}
	return writePage(w, r, status, name, v)
}

func writePage(w http.ResponseWriter, r *http.Request, status int, name string, v view) error {
	v.Root = "./" + strings.Repeat("../", strings.Count(mux.Vars(r)["rest"], "/"))
	var body bytes.Buffer
	if err := pageTemplates[name].ExecuteTemplate(&body, "frame", v); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	// With no-referrer, browsers would send "Origin: null" with the page's own forms.
	header.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // an error means that the client is gone
	return nil
}

// failPage answers an error with a page, or redirects to the operators' sign-in page.
func (m *mount) failPage(w http.ResponseWriter, r *http.Request, err error) {
	var signIn *SignInError
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	if errors.As(err, &signIn) && reading {
		seeOther(w, signIn.URL)
		return
	}
	p := m.problemFor(w, r, err)
	data := errorPage{Status: p.status, Text: p.detail}
	switch {
	case signIn != nil:
		data.Text, data.SignIn = "You are no longer signed in. Nothing was changed.", signIn.URL
	case p.status == http.StatusServiceUnavailable && reading:
		data.Again = "?" + r.URL.RawQuery
	}
	err = writePage(w, r, p.status, "error",
		view{Title: cmp.Or(errorTitles[p.status], "Request failed"), Version: staticVersion, Data: data})
	if err != nil {
		m.sessions.Logger().ErrorContext(r.Context(), "error page cannot be rendered", "error", err)
		writeProblem(w, p.status, p.detail, p.field)
	}
}

// errorPage is the data of the error page.
type errorPage struct {
	Status int
	Text   string
	// SignIn and Again are links to continue with, or "".
	SignIn string
	Again  string
}

// errorTitles are the titles of the error pages, by status.
var errorTitles = map[int]string{
	http.StatusUnauthorized: "Please sign in", http.StatusForbidden: "Not allowed",
	http.StatusNotFound: "Not found", http.StatusServiceUnavailable: "Temporarily unavailable",
	http.StatusInternalServerError: "Something went wrong",
}
