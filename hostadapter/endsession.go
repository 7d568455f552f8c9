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
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	maxEndSessionBody = 64 << 10
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
	// Subject and SessionID are those of the hint, if there was one.
	Subject   string `json:"sub,omitempty"`
	SessionID string `json:"sid,omitempty"`
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
// that belongs to the browser's session the user is asked first. Mount it where discovery's end_session_endpoint points.
func (a *Adapter) EndSession() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w)
		switch r.Method {
		case http.MethodGet, http.MethodPost:
		default:
			w.Header().Set("Allow", "GET, POST")
			showPage(w, http.StatusMethodNotAllowed, page{Title: "Not possible", Text: "This address takes GET and POST requests."})
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
	case record == nil || request.matches(record):
		return a.finish(w, r, request)
	}
	return a.askFirst(w, record, request)
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
		if len(values) > 1 {
			return nil, badRequest(fmt.Sprintf("The parameter %q occurs more than once.", name))
		}
	}
	return parameters, nil
}

// endRequest checks the parameters (RP-Initiated Logout 1.0, sections 2 to 4).
func (a *Adapter) endRequest(ctx context.Context, parameters url.Values) (*endRequest, error) {
	if parameters.Has(paramResume) {
		return a.openRequest(resumePurpose, nil, parameters.Get(paramResume))
	}
	request := &endRequest{}
	clientID := parameters.Get("client_id")
	if hint := parameters.Get("id_token_hint"); hint != "" && a.config.Hints != nil {
		subject, sid, audience, err := a.config.Hints.Verify(ctx, hint)
		switch {
		case errors.Is(err, ErrUnavailable):
			return nil, err
		case errors.Is(err, ErrHintUnverified) && clientID == "":
			return request, nil // as if there were no hint: the user is asked, and nobody is trusted with where to go
		case errors.Is(err, ErrHintUnverified):
			audience = clientID
		case err != nil:
			return nil, badRequest("The id_token_hint is not an ID token of this server.")
		case clientID != "" && clientID != audience:
			return nil, badRequest("The id_token_hint was issued to another client than client_id.")
		}
		request.Subject, request.SessionID, clientID = subject, sid, audience
	}
	target := parameters.Get("post_logout_redirect_uri")
	if target == "" {
		return request, nil
	}
	if clientID == "" {
		return nil, badRequest("A post_logout_redirect_uri needs an id_token_hint or a client_id.")
	}
	client, err := a.config.Clients.LogoutClient(ctx, clientID)
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

// withState adds the state to the URI's query as it is.
func withState(target string, parameters url.Values) (string, error) {
	uri, err := url.Parse(target)
	if err != nil {
		return "", badRequest("The post_logout_redirect_uri is not a URI.")
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

// finish signs out and sends the browser on.
func (a *Adapter) finish(w http.ResponseWriter, r *http.Request, request *endRequest) error {
	if err := a.SignOut(w, r); err != nil {
		return err
	}
	if request.Redirect != "" {
		// Registered for the client, or sealed by us.
		w.Header().Set("Location", request.Redirect)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	showPage(w, http.StatusOK, page{Title: "Signed out", Text: "You are signed out."})
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
func (a *Adapter) askFirst(w http.ResponseWriter, record *ticketstore.Session, request *endRequest) error {
	sealed, err := a.sealRequest(confirmPurpose, record.Key[:], request)
	if err != nil {
		return err
	}
	name := record.DisplayName
	if name == "" {
		name = record.SubjectID
	}
	showPage(w, http.StatusOK, page{Title: "Sign out?", Text: "You are signed in as " + name + ".", Confirm: sealed})
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
	return a.finish(w, r, request)
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
		showPage(w, http.StatusBadRequest, page{Title: "Not possible", Text: wrong.Error()})
		return
	}
	a.config.Logger.ErrorContext(r.Context(), "sign-out failed", "error", err)
	w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	showPage(w, http.StatusServiceUnavailable, page{
		Title: "Not signed out", Text: "You could not be signed out just now. Please try again in a moment.",
	})
}
