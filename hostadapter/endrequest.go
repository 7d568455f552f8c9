package hostadapter

// Requests to the end-session endpoint: parameters, hint, confirmation (RP-Initiated Logout 1.0, section 2).

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	// maxEndSessionBody bounds a form: an original request, or one that was sealed into a page.
	maxEndSessionBody = 128 << 10
	// maxParameter bounds one parameter, such as an ID token with many claims.
	maxParameter = 16 << 10
	// maxLocales and maxLocale bound the requested languages (RFC 5646, section 4.4).
	maxLocales = 16
	maxLocale  = 64
	// confirmWithin is how long a confirmation page may be left open.
	confirmWithin = 10 * time.Minute
)

// endRequest is a validated sign-out request.
type endRequest struct {
	// Subject and SessionID are those of the hint, if it was verified.
	Subject   string `json:"sub,omitempty"`
	SessionID string `json:"sid,omitempty"`
	// ClientID is the requesting client, whether or not the hint proves it.
	ClientID string `json:"client,omitempty"`
	// LogoutHint and Locales are the parameters logout_hint and ui_locales.
	LogoutHint string   `json:"hint,omitempty"`
	Locales    []string `json:"locales,omitempty"`
	// Redirect is a registered post_logout_redirect_uri with the state in its query, or empty.
	Redirect string `json:"redirect,omitempty"`
	// For is the key of the session for which a confirmation page was made.
	For []byte `json:"for,omitempty"`
	// Until is when a sealed request expires.
	Until int64 `json:"until,omitempty"`
}

// badRequest is the user-readable description of an invalid request.
type badRequest string

func (b badRequest) Error() string { return string(b) }

// endSessionParameters returns the parameters, each of which may occur only once.
func endSessionParameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	parameters := looseQuery(r.URL.RawQuery)
	if r.Method == http.MethodPost {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != "application/x-www-form-urlencoded" {
			return nil, badRequest("The request is not a form.")
		}
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEndSessionBody))
		if err != nil {
			return nil, badRequest("The form of the request cannot be read.")
		}
		parameters = looseQuery(string(raw))
		r.PostForm = parameters // for a host's own page
	}
	for name, values := range parameters {
		switch {
		case len(values) > 1:
			return nil, badRequest(fmt.Sprintf("The parameter %q occurs more than once.", cutText(name)))
		// The confirm parameter contains a whole request.
		case len(name)+len(values[0]) > maxParameter && name != paramConfirm:
			return nil, badRequest(fmt.Sprintf("The parameter %q is too long.", cutText(name)))
		}
	}
	return parameters, nil
}

// looseQuery parses a query or a form as browsers do (WHATWG URL, application/x-www-form-urlencoded parsing):
// a semicolon is not a separator, and a percent sign that escapes nothing is literal. Package url drops such
// pairs, so a client would not get back the state that it sent.
func looseQuery(raw string) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		if name, value, _ := strings.Cut(pair, "="); pair != "" {
			values.Add(unescapeLoosely(name), unescapeLoosely(value))
		}
	}
	return values
}

func unescapeLoosely(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if i+3 <= len(s) {
			if plain, err := url.QueryUnescape(s[i : i+3]); err == nil && s[i] == '%' {
				b.WriteString(plain)
				i += 2
				continue
			}
		}
		if s[i] == '+' {
			b.WriteByte(' ')
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// endRequest validates the parameters (RP-Initiated Logout 1.0, sections 2 to 4).
func (a *Adapter) endRequest(ctx context.Context, parameters url.Values) (*endRequest, error) {
	if parameters.Has(paramResume) {
		request, err := a.openRequest(resumePurpose, parameters.Get(paramResume))
		if err != nil {
			return nil, badRequest("The address is not one that this server made. Please try again.")
		}
		if a.now().Unix() >= request.Until {
			request.Subject, request.SessionID = "", "" // the user must confirm
		}
		return request, nil
	}
	request := &endRequest{
		ClientID: parameters.Get("client_id"), LogoutHint: parameters.Get("logout_hint"),
		Locales: localesOf(parameters.Get("ui_locales")),
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
	// An invalid redirect is ignored (section 4); the user is signed out nevertheless.
	problem, err := a.checkRedirect(ctx, request.ClientID, target)
	switch {
	case err != nil:
		return nil, err
	case problem == "":
		request.Redirect = withState(target, parameters)
	default:
		if suppressed, ok := a.redirects.Allow(a.now()); ok {
			a.config.Logger.WarnContext(ctx, "post_logout_redirect_uri ignored", "client_id",
				cutText(request.ClientID), "problem", problem, "lines_suppressed", suppressed)
		}
	}
	return request, nil
}

func localesOf(parameter string) []string {
	locales := slices.DeleteFunc(strings.Fields(parameter), func(locale string) bool {
		return len(locale) > maxLocale
	})
	return locales[:min(len(locales), maxLocales)]
}

// checkRedirect returns why the browser must not be redirected to an address, or "" if it may.
func (a *Adapter) checkRedirect(ctx context.Context, clientID, target string) (problem string, err error) {
	if clientID == "" {
		return "it needs an id_token_hint or a client_id", nil
	}
	client, err := a.logoutClient(ctx, clientID)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return "the client is not known", nil
	case err != nil:
		return "", fmt.Errorf("hostadapter: looking up a client: %w", err)
	case !slices.Contains(client.PostLogoutRedirectURIs, target):
		return "it is not registered for the client", nil
	case logout.ValidateClient(logout.Client{ClientID: "-", PostLogoutRedirectURIs: []string{target}}) != nil:
		return "it is not a URI that a browser can be sent to", nil
	}
	return "", nil
}

// readHint applies a verified hint to the request. The hint is not trusted if its key is unknown and the
// request names no client: then it is ignored, the user must confirm, and there is no redirect.
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
		if client, err = a.soleClient(ctx, hint); err != nil || client == "" {
			return false, err
		}
	default:
		return false, badRequest("The id_token_hint was issued to another client than client_id.")
	}
	request.Subject, request.SessionID, request.ClientID = hint.Subject, hint.SessionID, client
	return true, nil
}

// soleClient returns the only client in the hint's audience that uses the session in which the hint was
// issued, or "" if there is none, or more than one.
func (a *Adapter) soleClient(ctx context.Context, hint *IDTokenHint) (client string, err error) {
	detail, err := a.find(ctx, hint.SessionID)
	if err != nil || detail == nil || detail.SubjectID != hint.Subject {
		return "", err
	}
	for i := range detail.Clients {
		if id := detail.Clients[i].ClientID; slices.Contains(hint.Audience, id) {
			if client != "" {
				return "", nil
			}
			client = id
		}
	}
	return client, nil
}

// find returns the session with an untrusted sid, or nil if there is none.
func (a *Adapter) find(ctx context.Context, sid string) (*ticketstore.SessionDetail, error) {
	if ticketstore.CheckID("sid", sid) != nil {
		return nil, nil
	}
	detail, err := a.config.Backend.Tickets().Find(ctx, sid)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("hostadapter: reading a session: %w", err)
	}
	return detail, nil
}

// withState adds the unmodified state to the URI's query.
func withState(target string, parameters url.Values) string {
	if !parameters.Has("state") {
		return target
	}
	state := url.Values{"state": {parameters.Get("state")}}.Encode()
	uri, _ := url.Parse(target) // checkRedirect has parsed it
	if uri.RawQuery != "" {
		state = uri.RawQuery + "&" + state
	}
	uri.RawQuery = state
	return uri.String()
}

// matches reports whether the hint belongs to the session, so that no confirmation is needed.
func (e *endRequest) matches(record *ticketstore.Session) bool {
	if e.Subject == "" || e.Subject != record.SubjectID {
		return false
	}
	return e.SessionID == "" || e.SessionID == record.SessionID
}

// matchesLogoutHint returns false if, according to the host, the client means a different user.
func (a *Adapter) matchesLogoutHint(session *Session, request *endRequest) bool {
	return request.LogoutHint == "" || a.config.Logout.MatchHint == nil ||
		a.config.Logout.MatchHint(request.LogoutHint, session)
}

func (a *Adapter) sealRequest(purpose string, request *endRequest) string {
	request.Until = a.now().Add(confirmWithin).Unix()
	plain, _ := json.Marshal(request) // strings and numbers: cannot fail
	return a.ring.sealText(purpose, nil, plain)
}

// openRequest opens a value of sealRequest, even if it has expired. Clients can send any value here: one that
// cannot be opened is not logged.
func (a *Adapter) openRequest(purpose, value string) (*endRequest, error) {
	plain, err := a.ring.unsealText(purpose, nil, value)
	if err != nil {
		return nil, err
	}
	var request endRequest
	if err := json.Unmarshal(plain, &request); err != nil {
		return nil, err
	}
	return &request, nil
}

// cutText truncates a text that is echoed to the sender.
func cutText(s string) string { return strings.ToValidUTF8(s[:min(len(s), 64)], "") }
