package account

// The handler: lists sessions, ends one, ends all others, revokes consents.

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/agent"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/plugin/loglimit"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const maxBody = 16 << 10

// Config configures the handler. Sessions is required.
type Config struct {
	Sessions *hostadapter.Adapter
	// ClientName returns the display name of a client. By default it is the client's id.
	ClientName func(clientID string) string
	// SignIn answers a browser without a session. By default the answer is a page with status 401.
	SignIn http.Handler
	// Page renders the page in the host's design. A Content-Security-Policy that allows only forms to the
	// page itself is set. If nil, a plain English page is shown.
	Page func(w http.ResponseWriter, r *http.Request, page *Page)
	// Audit receives the audit records, as in package admin, whose README documents their fields: one for
	// each attempted change, with the user as actor. Without a signed-in user there is at most one a second.
	// By default they are logged.
	Audit slog.Handler
}

// Page is the content of a user's page.
type Page struct {
	// UserName is the signed-in user.
	UserName string
	// Sessions are the user's sessions, the current one first.
	Sessions []Session
	// Applications are the user's consents (hostadapter.Consents), ordered by their last change.
	Applications []Application
	// Token is the value of the field "token" of the forms. They are posted to "end", with the field
	// "session_id", to "end-others", and to "revoke", with the field "client_id".
	Token string
}

// Application is a client to which the user has consented.
type Application struct {
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
	// Scopes are the granted scopes, sorted.
	Scopes []string `json:"scopes"`
	// Given is when the user last agreed to one of them.
	Given time.Time `json:"given"`
}

// Session is one session of the user.
type Session struct {
	SessionID string `json:"session_id"`
	// Current is set for the session of this request.
	Current bool `json:"current"`
	// Device is the browser and system according to the user agent: "Firefox on Linux".
	Device     string `json:"device"`
	RemoteAddr string `json:"remote_addr,omitempty"`
	// Created is when the user signed in, LastUsed approximately when the session was last used.
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"`
	// Clients are the names of the applications used in it.
	Clients []string `json:"clients"`
}

type handler struct {
	Config
	tie        *tie.Adapter
	protection *http.CrossOriginProtection
	stream     auditlog.Stream
	strangers  loglimit.Lines // of requests without a session, of which clients can send any number
	outage     loglimit.Lines
}

// Handler serves a user's sessions on any router. Its links are relative, so no prefix needs to be stripped.
// It panics if Config.Sessions is not set.
func Handler(config Config) http.Handler {
	if config.Sessions == nil {
		panic("account: Config.Sessions is not set")
	}
	if config.ClientName == nil {
		config.ClientName = func(id string) string { return id }
	}
	bound := config.Sessions.Tie()
	return config.Sessions.Middleware(&handler{
		Config: config, tie: bound, protection: http.NewCrossOriginProtection(),
		stream: auditlog.Stream{
			Message: "account audit", To: config.Audit, Logger: bound.Logger, Now: bound.Now,
		},
	})
}

// problem is an error response.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

// ServeHTTP lists the user's sessions and consents, ends one session or all others, or revokes a consent.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "same-origin")
	header.Add("Vary", "Accept")
	action, changes := actions[path.Base(r.URL.Path)]
	change, requestID := &record{}, auditlog.RequestID(r)
	if changes {
		header.Set(auditlog.RequestIDHeader, requestID)
	}
	session, err := h.Sessions.Session(r)
	switch {
	case err != nil:
	case session == nil:
		err = errSignedOut
	case changes:
		err = h.change(w, r, session, action, change)
	default:
		err = h.read(w, r, session)
	}
	status := http.StatusSeeOther // the response of done
	if wantsJSON(r) {
		status = http.StatusOK
	}
	if err != nil {
		status = h.failed(w, r, err)
	}
	if !changes || r.Method != http.MethodPost {
		return
	}
	if session == nil {
		more, ok := h.strangers.Allow(h.tie.Now())
		if !ok {
			return
		}
		if more > 0 {
			change.add(slog.Int64("more_refused", more))
		}
	}
	h.log(r, session, requestID, action, change, status, err)
}

// read shows the user's sessions and consents.
func (h *handler) read(w http.ResponseWriter, r *http.Request, session *hostadapter.Session) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return &problem{http.StatusMethodNotAllowed, "This address takes GET requests."}
	}
	if location := belowIt(r); location != "" && !wantsJSON(r) {
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	return h.list(w, r, session)
}

// change makes the requested change.
func (h *handler) change(
	w http.ResponseWriter, r *http.Request, session *hostadapter.Session, action string, change *record,
) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return &problem{http.StatusMethodNotAllowed, "This address takes POST requests."}
	}
	if err := h.checkForm(w, r, session); err != nil {
		return err
	}
	switch action {
	case actions["end"]:
		return h.end(w, r, session, change)
	case actions["revoke"]:
		return h.revoke(w, r, session, change)
	}
	ended, err := h.Sessions.EndOtherSessions(r.Context(), session)
	change.add(slog.Int("sessions_removed", ended))
	if err != nil {
		return err
	}
	done(w, r, ended)
	return nil
}

// belowIt returns the redirect for a URL without a trailing slash, for which the page's relative form actions
// would be wrong. It is relative, because a proxy may have rewritten the path above it.
func belowIt(r *http.Request) string {
	at := r.URL.Path
	if at == "" { // all of it was the prefix of http.StripPrefix
		at, _, _ = strings.Cut(r.RequestURI, "?")
	}
	if strings.HasSuffix(at, "/") {
		return ""
	}
	return (&url.URL{Path: path.Base(at) + "/"}).String()
}

func (h *handler) end(
	w http.ResponseWriter, r *http.Request, session *hostadapter.Session, change *record,
) error {
	sid := r.PostForm.Get("session_id")
	change.add(slog.String("session_id", auditlog.Bounded(sid)))
	if sid == session.SessionID {
		if err := h.Sessions.SignOut(w, r); err != nil {
			return err
		}
	} else if err := h.Sessions.EndOwnSession(r.Context(), session, sid); err != nil {
		return err
	}
	change.add(slog.Int("sessions_removed", 1))
	done(w, r, 1)
	return nil
}

// revoke revokes the consent to an application, and its tokens.
func (h *handler) revoke(
	w http.ResponseWriter, r *http.Request, session *hostadapter.Session, change *record,
) error {
	client := r.PostForm.Get("client_id")
	change.add(slog.String("client_id", auditlog.Bounded(client)))
	if err := h.Sessions.Consents().Revoke(r.Context(), session.SubjectID, client); err != nil {
		return err
	}
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, map[string]string{"client_id": client})
	} else {
		done(w, r, 0)
	}
	return nil
}

// applications returns the user's consents.
func (h *handler) applications(r *http.Request, session *hostadapter.Session) ([]Application, error) {
	consents, err := h.Sessions.Consents().List(r.Context(), session.SubjectID)
	list := []Application{}
	for i := range consents {
		app := Application{ClientID: consents[i].ClientID, Name: h.ClientName(consents[i].ClientID)}
		for _, scope := range consents[i].Scopes {
			app.Scopes = append(app.Scopes, scope.Scope)
			if scope.Given.After(app.Given) {
				app.Given = scope.Given.UTC()
			}
		}
		list = append(list, app)
	}
	return list, err
}

// errSignedOut means that there is no signed-in user.
var errSignedOut = &problem{http.StatusUnauthorized, "You are not signed in."}

// errStale means that the form was made for a different session, or is forged.
var errStale = &problem{
	http.StatusForbidden, "The page does not belong to your session. Please load it again.",
}

// checkForm refuses cross-site requests, and forms that were made for a different session.
func (h *handler) checkForm(w http.ResponseWriter, r *http.Request, session *hostadapter.Session) error {
	if err := h.protection.Check(r); err != nil {
		return &problem{http.StatusForbidden, "The request comes from another site."}
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return &problem{http.StatusUnsupportedMediaType, "The request is not a form."}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return &problem{http.StatusBadRequest, "The form cannot be read."}
	}
	if !h.tie.CheckFormToken(session.SessionID, r.PostForm.Get("token")) {
		return errStale
	}
	return nil
}

func (h *handler) list(w http.ResponseWriter, r *http.Request, session *hostadapter.Session) error {
	details, err := h.Sessions.OwnSessions(r.Context(), session)
	if err != nil {
		return err
	}
	page := &Page{
		UserName: cmp.Or(session.DisplayName, session.SubjectID), Token: h.tie.FormToken(session.SessionID),
	}
	if page.Applications, err = h.applications(r, session); err != nil {
		return err
	}
	for i := range details {
		shown := h.show(&details[i], session)
		if shown.Current {
			page.Sessions = append([]Session{shown}, page.Sessions...)
		} else {
			page.Sessions = append(page.Sessions, shown)
		}
	}
	switch {
	case wantsJSON(r):
		writeJSON(w, http.StatusOK, map[string]any{
			"sessions": page.Sessions, "applications": page.Applications, "token": page.Token,
		})
	case h.Page != nil:
		h.Page(w, r, page)
	default:
		showPage(w, http.StatusOK, &view{Page: page})
	}
	return nil
}

func (h *handler) show(detail *ticketstore.SessionDetail, session *hostadapter.Session) Session {
	shown := Session{
		SessionID: detail.SessionID, Current: detail.SessionID == session.SessionID,
		Device:     device(detail.UserAgent),
		RemoteAddr: detail.RemoteAddr, Created: detail.Created.UTC(), LastUsed: detail.Renewed.UTC(),
		Clients: []string{},
	}
	for _, client := range detail.Clients {
		shown.Clients = append(shown.Clients, h.ClientName(client.ClientID))
		if client.LastUsed.After(shown.LastUsed) {
			shown.LastUsed = client.LastUsed.UTC()
		}
	}
	return shown
}

// device describes the device according to its user agent.
func device(userAgent string) string {
	browser, _, system := agent.Parse(userAgent)
	if browser != "" && system != "" {
		return browser + " on " + system
	}
	return cmp.Or(browser, "Unknown device")
}

// done answers a successful change.
func done(w http.ResponseWriter, r *http.Request, ended int) {
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, map[string]int{"sessions_ended": ended})
		return
	}
	w.Header().Set("Location", "./") // the page
	w.WriteHeader(http.StatusSeeOther)
}

// failed answers a failed request, and returns the status.
func (h *handler) failed(w http.ResponseWriter, r *http.Request, err error) (status int) {
	var known *problem
	var field *ticketstore.FieldError
	switch {
	case !wantsJSON(r) && r.Method == http.MethodPost &&
		(errors.Is(err, errStale) || errors.Is(err, ticketstore.ErrNotFound)):
		done(w, r, 0) // back to the current page
		return http.StatusSeeOther
	case errors.Is(err, errSignedOut) && h.SignIn != nil && !wantsJSON(r):
		h.SignIn.ServeHTTP(w, r)
		return errSignedOut.status // for the audit, whatever SignIn answered
	case errors.As(err, &known):
	case errors.As(err, &field):
		known = &problem{http.StatusBadRequest, field.Error()}
	case errors.Is(err, ticketstore.ErrNotFound):
		known = &problem{http.StatusNotFound, "There is no such session of yours."}
	default:
		if suppressed, ok := h.outage.Allow(h.tie.Now()); ok {
			h.tie.Logger.ErrorContext(r.Context(), "a user's sessions were not served", "error", err,
				"lines_suppressed", suppressed)
		}
		w.Header().Set("Retry-After", "5")
		known = &problem{
			http.StatusServiceUnavailable, "Your sessions are unavailable at the moment. Please try again.",
		}
	}
	if wantsJSON(r) {
		writeJSON(w, known.status, map[string]string{"error": known.text})
		return known.status
	}
	showPage(w, known.status, &view{Problem: known.text})
	return known.status
}

// wantsJSON reports whether the request asks for JSON instead of a page.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// writeJSON writes an answer. An error means that the browser has gone, which is no failure of the store.
func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}
