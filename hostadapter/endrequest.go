package hostadapter

// Requests to the end-session endpoint: parameters, hint, confirmation (RP-Initiated Logout 1.0, section 2).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	maxEndSessionBody = 64 << 10
	// maxParameter bounds one parameter, an ID token with many claims among them. maxLocales bounds the
	// languages that are looked at.
	maxParameter = 16 << 10
	maxLocales   = 16
	// confirmWithin is how long a confirmation page may be left open.
	confirmWithin = 10 * time.Minute
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
	// For is the key of the session that a confirmation page was made for.
	For []byte `json:"for,omitempty"`
	// Until is when a sealed request is no longer good.
	Until int64 `json:"until,omitempty"`
}

// badRequest is what is wrong with a request, in words for a person.
type badRequest string

func (b badRequest) Error() string { return string(b) }

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
		request, err := a.openRequest(resumePurpose, parameters.Get(paramResume))
		if err != nil || a.now().Unix() >= request.Until {
			return nil, badRequest("The page was open for too long. Please try again.")
		}
		return request, nil
	}
	locales := strings.Fields(parameters.Get("ui_locales"))
	request := &endRequest{
		ClientID: parameters.Get("client_id"), LogoutHint: parameters.Get("logout_hint"),
		Locales: locales[:min(len(locales), maxLocales)],
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
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil, badRequest("The client is not known.")
	case err != nil:
		return nil, fmt.Errorf("hostadapter: looking up a client: %w", err)
	case !slices.Contains(client.PostLogoutRedirectURIs, target):
		return nil, badRequest("The post_logout_redirect_uri is not registered for the client.")
	}
	request.Redirect, err = withState(target, parameters)
	return request, err
}

// readHint takes over what a genuine hint says. It is not trusted where its key is not known and the request
// names no client: then it is as if there were none, the user is asked, and nobody says where to go.
func (a *Adapter) readHint(ctx context.Context, token string, request *endRequest) (trusted bool, err error) {
	hint, err := a.config.Hints.Verify(ctx, token)
	switch {
	case errors.Is(err, ticketstore.ErrUnavailable):
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
		return false,
			badRequest("The id_token_hint was issued to several clients: client_id must name the one " +
				"that asks.")
	default:
		return false, badRequest("The id_token_hint was issued to another client than client_id.")
	}
	request.Subject, request.SessionID, request.ClientID = hint.Subject, hint.SessionID, client
	return true, nil
}

// withState adds the state to the URI's query as it is.
func withState(target string, parameters url.Values) (string, error) {
	uri, err := url.Parse(target)
	if err != nil ||
		logout.ValidateClient(logout.Client{ClientID: "-", PostLogoutRedirectURIs: []string{target}}) != nil {
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

// matches reports whether the hint belongs to the session, so that nobody need be asked.
func (e *endRequest) matches(record *ticketstore.Session) bool {
	if e.Subject == "" || e.Subject != record.SubjectID {
		return false
	}
	return e.SessionID == "" || e.SessionID == record.SessionID
}

// matchesLogoutHint is false where the host knows that the client means another user.
func (a *Adapter) matchesLogoutHint(session *Session, request *endRequest) bool {
	return request.LogoutHint == "" || a.config.Logout.MatchHint == nil ||
		a.config.Logout.MatchHint(request.LogoutHint, session)
}

func (a *Adapter) sealRequest(purpose string, request *endRequest) (string, error) {
	request.Until = a.now().Add(confirmWithin).Unix()
	plain, err := json.Marshal(request)
	if err != nil {
		return "", fmt.Errorf("hostadapter: %w", err)
	}
	return encodeSealed(a.ring.seal(purpose, nil, plain)), nil
}

// openRequest returns what sealRequest sealed, also after its time. Anybody may send anything here: that it
// does not open is no event for the log.
func (a *Adapter) openRequest(purpose, value string) (*endRequest, error) {
	sealed, err := decodeSealed(value)
	if err != nil {
		return nil, err
	}
	plain, err := a.ring.unseal(purpose, nil, sealed)
	if err != nil {
		return nil, err
	}
	var request endRequest
	if err := json.Unmarshal(plain, &request); err != nil {
		return nil, err
	}
	return &request, nil
}

// cutText shortens what is repeated to the sender.
func cutText(s string) string { return strings.ToValidUTF8(s[:min(len(s), 64)], "") }
