package hostadapter

// The end-session endpoint (RP-Initiated Logout 1.0).

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// retryAfterSeconds is the Retry-After of a 503 response.
const retryAfterSeconds = 5

// Private parameters of the end-session endpoint, besides those of the specification.
const (
	paramConfirm = "confirm" // in the form of the confirmation page
	paramResume  = "resume"  // in the URL to which a cross-site POST is redirected
)

// Purposes of the sealed values of the end-session endpoint.
const (
	confirmPurpose = "end-session-confirm"
	resumePurpose  = "end-session-resume"
)

// EndSession returns the end-session endpoint of OpenID Connect RP-Initiated Logout 1.0, for GET and POST. It
// signs the browser out and redirects it to the post_logout_redirect_uri if that is registered for the client
// of the id_token_hint or client_id. Without a hint that belongs to the browser's session the user must
// confirm. A browser that sends no cookie, for example because it withholds it from cross-site requests, is
// signed out of the session in which the hint was issued.
//
// Clients of the session are notified by back channel, and those with a frontchannel_logout_uri in frames of
// the following page (Front-Channel Logout 1.0). Mount it where discovery's end_session_endpoint points; see
// Metadata.
func (a *Adapter) EndSession() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w)
		switch r.Method {
		case http.MethodGet, http.MethodPost:
		default:
			w.Header().Set("Allow", "GET, POST")
			a.showPage(w, r, &LogoutPage{
				Kind: LogoutProblem, Status: http.StatusMethodNotAllowed, Title: "Not possible",
				Text: "This address takes GET and POST requests.",
			})
			return
		}
		r, span := a.tracing.startRequest(r, "end session")
		err := a.endSession(w, r)
		end(span, err)
		if err != nil {
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
	if _, present := a.readCookies(r); !present && r.Method == http.MethodPost {
		// A cross-site POST comes without a SameSite cookie; the GET that follows has it.
		a.redirectPost(w, r, request)
		return nil
	}
	return a.signOutOrConfirm(w, r, request)
}

// signOutOrConfirm signs the user out if no confirmation is needed, and asks for one otherwise. Sessions that
// cannot be opened end without one.
func (a *Adapter) signOutOrConfirm(w http.ResponseWriter, r *http.Request, request *endRequest) error {
	all, err := a.present(r)
	if err != nil {
		return err
	}
	records := recordsOf(all)
	// All of the browser's sessions end. A cookie that another host planted, with a hint of its session, must
	// not end the user's own without a confirmation.
	unhinted := slices.IndexFunc(all, func(p presented) bool {
		return p.opened != nil && (!request.matches(p.record) || !a.matchesLogoutHint(p.opened, request))
	})
	switch {
	case len(records) == 0:
		record, err := a.hintedSession(r.Context(), request)
		if err != nil {
			return err
		}
		if record != nil {
			records = append(records, record)
		}
	case unhinted >= 0:
		a.askConfirmation(w, r, all[unhinted].record, request)
		return nil
	}
	return a.finish(w, r, records, request)
}

// hintedSession returns the live session in which the hint was issued, for a browser that sends no cookie of
// a live session, or nil if there is none. Only the session's clients, and parties they share it with, have
// its ID tokens.
func (a *Adapter) hintedSession(ctx context.Context, request *endRequest) (*ticketstore.Session, error) {
	detail, err := a.find(ctx, request.SessionID)
	switch {
	case err != nil || detail == nil:
		return nil, err
	case detail.SubjectID != request.Subject || !a.servesIssuer(detail.Issuer):
		return nil, nil
	case !detail.LiveAt(a.now()):
		a.endExpired(ctx, detail.SessionID)
		return nil, nil
	}
	return &detail.Session, nil
}

// finish signs out of the sessions, of which there may be none, and redirects the browser.
func (a *Adapter) finish(
	w http.ResponseWriter, r *http.Request, records []*ticketstore.Session, request *endRequest,
) error {
	var frames []string
	for _, record := range records {
		// Before the sessions end: afterwards their clients are unknown.
		urls, err := a.FrontChannelURLs(r.Context(), record.SessionID)
		if err != nil {
			return err
		}
		frames = append(frames, urls...)
	}
	notifications, err := a.signOutOf(r.Context(), records)
	if err != nil {
		return err
	}
	if notifications > 0 && a.config.Logout.DeliveryWait > 0 {
		var sids []string
		for _, record := range records {
			sids = append(sids, record.SessionID)
		}
		waiting, cancel := context.WithTimeout(r.Context(), a.config.Logout.DeliveryWait)
		_, _ = a.awaitNotifications(waiting, sids) // best effort: the user is signed out in any case
		cancel()
	}
	if _, present := a.readCookies(r); present {
		// A browser that withholds its cookie from other sites may hold that of a different session than the
		// hint's.
		a.forget(w, r)
	}
	done := &LogoutPage{
		Kind: LogoutDone, Status: http.StatusOK, Title: "Signed out", Text: "You are signed out.",
		ClientID: request.ClientID, UILocales: request.Locales,
	}
	switch {
	case len(frames) > 0 || len(request.Redirect) > maxLocation:
		// An address too long for a header is put into the page.
		done.Kind, done.Frames, done.Continue, done.Wait = LogoutFrames, frames, request.Redirect,
			a.config.Logout.FrontChannelWait
	case request.Redirect != "":
		// It is registered for the client, or was sealed by this server.
		w.Header().Set("Location", request.Redirect)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	a.showPage(w, r, done)
	return nil
}

// maxLocation bounds a Location header: many proxies limit the headers of a response to 4 KiB, and answer 502
// beyond that.
const maxLocation = 2 << 10

// redirectPost redirects a POST without a cookie to a GET. Its parameters are sealed, because an ID token
// must not appear in a URL. If they are too long for a URL, the browser gets a form to submit from this site.
func (a *Adapter) redirectPost(w http.ResponseWriter, r *http.Request, request *endRequest) {
	sealed := a.sealRequest(resumePurpose, request)
	if len(sealed) > maxLocation {
		a.showConfirmation(w, r, request, "Please confirm that you want to sign out.", "")
		return
	}
	// Relative, so that it also works behind a proxy that strips a prefix.
	w.Header().Set("Location", "?"+url.Values{paramResume: {sealed}}.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

// askConfirmation shows a form that is valid only for this browser's session.
func (a *Adapter) askConfirmation(
	w http.ResponseWriter, r *http.Request, record *ticketstore.Session, request *endRequest,
) {
	request.For = record.Key[:]
	name := cmp.Or(record.DisplayName, record.SubjectID)
	a.showConfirmation(w, r, request, "You are signed in as "+name+".", name)
}

func (a *Adapter) showConfirmation(
	w http.ResponseWriter, r *http.Request, request *endRequest, text, userName string,
) {
	a.showPage(w, r, &LogoutPage{
		Kind: LogoutConfirm, Status: http.StatusOK, Title: "Sign out?", Text: text, UserName: userName,
		ClientID: request.ClientID, UILocales: request.Locales,
		Confirm: a.sealRequest(confirmPurpose, request),
	})
}

// confirmed handles the form of the confirmation page. A form that has expired, or was made for a different
// session, is shown again for the current one.
func (a *Adapter) confirmed(w http.ResponseWriter, r *http.Request, sealed string) error {
	secrets, _ := a.readCookies(r)
	request, unreadable := a.openRequest(confirmPurpose, sealed)
	if unreadable == nil && len(request.For) == 0 && a.now().Unix() < request.Until {
		return a.signOutOrConfirm(w, r, request) // a form from redirectPost
	}
	if len(secrets) == 0 || unreadable != nil {
		// Signed out meanwhile, or a form sent from another site, without the SameSite cookie: its contents
		// are not trusted, and the session is unknown. The GET that follows has the cookie.
		w.Header().Set("Location", "?")
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	all, err := a.present(r)
	if err != nil {
		return err
	}
	current, madeFor := askedAbout(all), func(p presented) bool {
		return bytes.Equal(request.For, p.record.Key[:])
	}
	if current != nil && (!slices.ContainsFunc(all, madeFor) || a.now().Unix() >= request.Until) {
		a.askConfirmation(w, r, current.record, request)
		return nil
	}
	return a.finish(w, r, recordsOf(all), request)
}

func (a *Adapter) endSessionFailed(w http.ResponseWriter, r *http.Request, err error) {
	if wrong, ok := errors.AsType[badRequest](err); ok {
		page := &LogoutPage{
			Kind: LogoutProblem, Status: http.StatusBadRequest, Title: "Not possible", Text: wrong.Error(),
		}
		// Whatever is wrong, a user who wants to sign out can do so (section 4).
		if all, err := a.present(r); err == nil {
			if current := askedAbout(all); current != nil {
				page.Confirm = a.sealRequest(confirmPurpose, &endRequest{For: current.record.Key[:]})
			}
		}
		a.showPage(w, r, page)
		return
	}
	if suppressed, ok := a.signOuts.Allow(a.now()); ok {
		a.config.Logger.ErrorContext(r.Context(), "sign-out failed", "error", err,
			"lines_suppressed", suppressed)
	}
	w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	a.showPage(w, r, &LogoutPage{
		Kind: LogoutProblem, Status: http.StatusServiceUnavailable, Title: "Not signed out",
		Text: "You could not be signed out. Please try again in a moment.",
	})
}
