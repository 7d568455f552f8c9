package hostadapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	maxEndSessionBody = 64 << 10
	// maxParameter bounds one parameter, an ID token with many claims among them. maxLocales bounds the languages that are looked at.
	maxParameter = 16 << 10
	maxLocales   = 16
	// confirmWithin is how long a confirmation page may be left open.
	confirmWithin = 10 * time.Minute
	// retryAfterSeconds is what an answer 503 asks the browser to wait.
	retryAfterSeconds = 5
)

// Names of the end-session endpoint's own parameters, besides those of the specification.
const (
	paramConfirm = "confirm" // in the form of the confirmation page
	paramResume  = "resume"  // in the address to which a POST from another site is sent on
)

// Purposes of sealed values of the end-session endpoint.
const (
	confirmPurpose = "end-session-confirm"
	resumePurpose  = "end-session-resume"
)

// endRequest is a request to sign out whose parameters have been checked.
type endRequest struct {
	// Subject and SessionID are those of the hint, if there was a genuine one.
	Subject   string `json:"sub,omitempty"`
	SessionID string `json:"sid,omitempty"`
	// ClientID is the client that asks, proven by the hint or not.
	ClientID string `json:"client,omitempty"`
	// LogoutHint and Locales are the parameters logout_hint and ui_locales.
	LogoutHint string   `json:"hint,omitempty"`
	Locales    []string `json:"locales,omitempty"`
	// Redirect is a registered post_logout_redirect_uri with the state in its query, or empty.
	Redirect string `json:"redirect,omitempty"`
	// Until is when a sealed request is no longer good.
	Until int64 `json:"until,omitempty"`
}

// badRequest is what is wrong with a request, in words for a person.
type badRequest string

func (b badRequest) Error() string { return string(b) }

// EndSession returns the end-session endpoint of OpenID Connect RP-Initiated Logout 1.0, for GET and POST. It signs the browser out and
// sends it to the post_logout_redirect_uri, which must be registered for the client of the id_token_hint or client_id. Without a hint
// that belongs to the browser's session the user is asked first. A browser that brings no cookie, as one that keeps it from requests that come
// from other sites, is signed out of the session that the hint was issued in.
//
// Clients of the session are told by back channel, those with a frontchannel_logout_uri in frames of the page that follows
// (Front-Channel Logout 1.0). Mount it where discovery's end_session_endpoint points; see Metadata.
func (a *Adapter) EndSession() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w)
		switch r.Method {
		case http.MethodGet, http.MethodPost:
		default:
			w.Header().Set("Allow", "GET, POST")
			a.showPage(w, r, &LogoutPage{
				Kind: LogoutProblem, Status: http.StatusMethodNotAllowed, Title: "Not possible", Text: "This address takes GET and POST requests.",
			})
			return
		}
		if err := a.endSession(w, r); err != nil {
			a.endSessionFailed(w, r, err)
		}
	})
}

func (a *Adapter) endSession(w http.ResponseWriter, r *http.Request) error {
	parameters, err := endSessionParameters(w, r)
	if err != nil {
		return err
	}
	if parameters.Has(paramConfirm) && r.Method == http.MethodPost {
		return a.confirmed(w, r, parameters.Get(paramConfirm))
	}
	request, err := a.endRequest(r.Context(), parameters)
	if err != nil {
		return err
	}
	if _, _, present := a.readCookie(r); !present && r.Method == http.MethodPost {
		// A SameSite cookie does not come with a POST from another site, but it does with the GET that follows.
		return a.sendOn(w, request)
	}
	record, err := a.current(r)
	switch {
	case err != nil:
		return err
	case record == nil:
		if record, err = a.hinted(r.Context(), request); err != nil {
			return err
		}
		return a.finish(w, r, record, request)
	case request.matches(record) && a.matchesLogoutHint(record, request):
		return a.finish(w, r, record, request)
	}
	return a.askFirst(w, r, record, request)
}

// endSessionParameters returns the parameters, each of which may come once.
func endSessionParameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	parameters := r.URL.Query()
	if r.Method == http.MethodPost {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "application/x-www-form-urlencoded" {
			return nil, badRequest("The request is not a form.")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxEndSessionBody)
		if err := r.ParseForm(); err != nil {
			return nil, badRequest("The form of the request cannot be read.")
		}
		parameters = r.PostForm
	}
	for name, values := range parameters {
		switch {
		case len(values) > 1:
			return nil, badRequest(fmt.Sprintf("The parameter %q occurs more than once.", cutText(name)))
		case len(name)+len(values[0]) > maxParameter:
			return nil, badRequest(fmt.Sprintf("The parameter %q is too long.", cutText(name)))
		}
	}
	return parameters, nil
}

// endRequest checks the parameters (RP-Initiated Logout 1.0, sections 2 to 4).
func (a *Adapter) endRequest(ctx context.Context, parameters url.Values) (*endRequest, error) {
	if parameters.Has(paramResume) {
		return a.openRequest(resumePurpose, nil, parameters.Get(paramResume))
	}
	locales := strings.Fields(parameters.Get("ui_locales"))
	request := &endRequest{
		ClientID: parameters.Get("client_id"), LogoutHint: parameters.Get("logout_hint"), Locales: locales[:min(len(locales), maxLocales)],
	}
	if hint := parameters.Get("id_token_hint"); hint != "" && a.config.Hints != nil {
		if trusted, err := a.readHint(ctx, hint, request); err != nil || !trusted {
			return request, err
		}
	}
	target := parameters.Get("post_logout_redirect_uri")
	if target == "" {
		return request, nil
	}
	if request.ClientID == "" {
		return nil, badRequest("A post_logout_redirect_uri needs an id_token_hint or a client_id.")
	}
	client, err := a.config.Clients.LogoutClient(ctx, request.ClientID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, badRequest("The client is not known.")
	case err != nil:
		return nil, fmt.Errorf("hostadapter: looking up a client: %w", err)
	case !slices.Contains(client.PostLogoutRedirectURIs, target):
		return nil, badRequest("The post_logout_redirect_uri is not registered for the client.")
	}
	request.Redirect, err = withState(target, parameters)
	return request, err
}

// readHint takes over what a genuine hint says. It is not trusted where its key is not known and the request names no client: then it is as
// if there were none, the user is asked, and nobody says where to go.
func (a *Adapter) readHint(ctx context.Context, token string, request *endRequest) (trusted bool, err error) {
	hint, err := a.config.Hints.Verify(ctx, token)
	switch {
	case errors.Is(err, ErrUnavailable):
		return false, err
	case errors.Is(err, ErrHintUnverified):
		return request.ClientID != "", nil
	case err != nil:
		return false, badRequest("The id_token_hint is not an ID token of this server.")
	}
	client, ok := hint.client(request.ClientID)
	switch {
	case ok:
	case client == "" && request.ClientID == "":
		return false, badRequest("The id_token_hint was issued to several clients: client_id must name the one that asks.")
	default:
		return false, badRequest("The id_token_hint was issued to another client than client_id.")
	}
	request.Subject, request.SessionID, request.ClientID = hint.Subject, hint.SessionID, client
	return true, nil
}

// withState adds the state to the URI's query as it is.
func withState(target string, parameters url.Values) (string, error) {
	uri, err := url.Parse(target)
	if err != nil || logout.ValidateClient(logout.Client{ClientID: "-", PostLogoutRedirectURIs: []string{target}}) != nil {
		return "", badRequest("The post_logout_redirect_uri is not a URI that a browser can be sent to.")
	}
	if parameters.Has("state") {
		state := url.Values{"state": {parameters.Get("state")}}.Encode()
		if uri.RawQuery != "" {
			state = uri.RawQuery + "&" + state
		}
		uri.RawQuery = state
	}
	return uri.String(), nil
}

// matches tells whether the hint belongs to the session, so that nobody need be asked.
func (e *endRequest) matches(record *ticketstore.Session) bool {
	if e.Subject == "" || e.Subject != record.SubjectID {
		return false
	}
	return e.SessionID == "" || e.SessionID == record.SessionID
}

// matchesLogoutHint is false where the host knows that the client means another user.
func (a *Adapter) matchesLogoutHint(record *ticketstore.Session, request *endRequest) bool {
	if request.LogoutHint == "" || a.config.MatchLogoutHint == nil {
		return true
	}
	session, err := a.public(record)
	return err == nil && a.config.MatchLogoutHint(request.LogoutHint, session)
}

// hinted returns the live session that the hint was issued in, for a browser that brings no cookie of a live session. Nil: there is none.
// Whoever has the ID token of a session is one of its clients, or was given it by one.
func (a *Adapter) hinted(ctx context.Context, request *endRequest) (*ticketstore.Session, error) {
	if request.SessionID == "" || ticketstore.CheckID("sid", request.SessionID) != nil {
		return nil, nil
	}
	detail, err := a.config.Backend.Tickets().Find(ctx, request.SessionID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("hostadapter: reading a session: %w", err)
	case detail.SubjectID != request.Subject || detail.Issuer != a.config.Issuer:
		return nil, nil
	case !detail.LiveAt(a.now()):
		a.EndExpired(ctx, detail.SessionID)
		return nil, nil
	}
	return &detail.Session, nil
}

// finish signs out of the session, if there is one, and sends the browser on.
func (a *Adapter) finish(w http.ResponseWriter, r *http.Request, record *ticketstore.Session, request *endRequest) error {
	var frames []string
	if record != nil {
		var err error
		// Before the end: afterwards nobody knows the clients any more.
		if frames, err = a.FrontChannelURLs(r.Context(), record.SessionID); err != nil {
			return err
		}
		result, err := a.signOut(r.Context(), record)
		if err != nil {
			return err
		}
		if result.NotificationsQueued > 0 && a.config.WaitForNotices > 0 {
			a.awaitNotices(r.Context(), record.SessionID, a.config.WaitForNotices)
		}
	}
	if _, _, present := a.readCookie(r); present {
		// A browser that keeps its cookie from other sites may have that of another session than the hint's.
		a.forget(w, r)
	}
	done := &LogoutPage{
		Kind: LogoutDone, Status: http.StatusOK, Title: "Signed out", Text: "You are signed out.", ClientID: request.ClientID, UILocales: request.Locales,
	}
	switch {
	case len(frames) > 0:
		done.Kind, done.Frames, done.Continue, done.Wait = LogoutFrames, frames, request.Redirect, a.config.FrontChannelWait
	case request.Redirect != "":
		// Registered for the client, or sealed by us.
		w.Header().Set("Location", request.Redirect)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	a.showPage(w, r, done)
	return nil
}

// sendOn repeats a POST without cookie as a GET. Its parameters go sealed: an ID token has no place in an address.
func (a *Adapter) sendOn(w http.ResponseWriter, request *endRequest) error {
	sealed, err := a.sealRequest(resumePurpose, nil, request)
	if err != nil {
		return err
	}
	// Relative, so that it also holds behind a proxy that strips a prefix.
	w.Header().Set("Location", "?"+url.Values{paramResume: {sealed}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// askFirst shows a form that only this browser's session can send.
func (a *Adapter) askFirst(w http.ResponseWriter, r *http.Request, record *ticketstore.Session, request *endRequest) error {
	sealed, err := a.sealRequest(confirmPurpose, record.Key[:], request)
	if err != nil {
		return err
	}
	name := record.DisplayName
	if name == "" {
		name = record.SubjectID
	}
	a.showPage(w, r, &LogoutPage{
		Kind: LogoutConfirm, Status: http.StatusOK, Title: "Sign out?", Text: "You are signed in as " + name + ".", UserName: name,
		ClientID: request.ClientID, UILocales: request.Locales, Confirm: sealed,
	})
	return nil
}

func (a *Adapter) confirmed(w http.ResponseWriter, r *http.Request, sealed string) error {
	s, ok, _ := a.readCookie(r)
	if !ok {
		// Signed out meanwhile, or a form from another site, with which a SameSite cookie does not come: nothing that it asks for is to be
		// trusted, and nothing known of the session. The GET that follows finds out.
		w.Header().Set("Location", "?")
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	key := s.key()
	request, err := a.openRequest(confirmPurpose, key[:], sealed)
	if err != nil {
		return err
	}
	record, err := a.current(r)
	if err != nil {
		return err
	}
	return a.finish(w, r, record, request)
}

func (a *Adapter) sealRequest(purpose string, id []byte, request *endRequest) (string, error) {
	request.Until = a.now().Add(confirmWithin).Unix()
	plain, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("hostadapter: %w", err)
	}
	return encodeSealed(a.ring.seal(purpose, id, plain)), nil
}

func (a *Adapter) openRequest(purpose string, id []byte, value string) (*endRequest, error) {
	stale := badRequest("The page was open for too long, or does not belong to your session. Please try again.")
	sealed, err := decodeSealed(value)
	if err != nil {
		return nil, stale
	}
	// Anybody may send anything here: that it does not open is no event for the log.
	plain, err := a.ring.unseal(purpose, id, sealed)
	if err != nil {
		return nil, stale
	}
	var request endRequest
	if json.Unmarshal(plain, &request) != nil || a.now().Unix() >= request.Until {
		return nil, stale
	}
	return &request, nil
}

func (a *Adapter) endSessionFailed(w http.ResponseWriter, r *http.Request, err error) {
	var wrong badRequest
	if errors.As(err, &wrong) {
		a.showPage(w, r, &LogoutPage{Kind: LogoutProblem, Status: http.StatusBadRequest, Title: "Not possible", Text: wrong.Error()})
		return
	}
	a.config.Logger.ErrorContext(r.Context(), "sign-out failed", "error", err)
	w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	a.showPage(w, r, &LogoutPage{
		Kind: LogoutProblem, Status: http.StatusServiceUnavailable, Title: "Not signed out",
		Text: "You could not be signed out just now. Please try again in a moment.",
	})
}

// cutText shortens what is repeated to whoever sent it.
func cutText(s string) string { return strings.ToValidUTF8(s[:min(len(s), 64)], "") }
