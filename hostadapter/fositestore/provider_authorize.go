package fositestore

// The Provider's methods for the authorization endpoint.

import (
	"context"
	"errors"
	"net/http"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// NewAuthorizeRequest wraps fosite's and preserves the store's errors. Unless Config.AllowUnbound is set, an
// OpenID request with prompt=none returns fosite.ErrLoginRequired if the user would have to sign in, and
// fosite.ErrInvalidRequest if prompt has a second value; pass both to WriteAuthorizeError. A pushed request
// can be read repeatedly until it is answered. A request that returns with the mark of Sessions.ReturnURL is
// dated to the time in that mark.
func (p *Provider) NewAuthorizeRequest(
	ctx context.Context, r *http.Request,
) (fosite.AuthorizeRequester, error) {
	c := newCarrier(r.Context())
	c.keepsPushed = true
	request, err := p.OAuth2Provider.NewAuthorizeRequest(c.into(ctx), r)
	p.store.carriers.bind(request, c)
	if err != nil {
		return request, p.answer(ctx, c, authorizeEndpoint, err)
	}
	concrete, isFosite := request.(*fosite.AuthorizeRequest)
	if isFosite && p.store.pushedURI(ctx, request) != "" {
		concrete.RequestedAt = p.store.now() // fosite sets the time of the push; a later sign-in is another's
	}
	if asked, ok := p.store.askedAt(r); ok {
		if isFosite {
			concrete.RequestedAt, c.marked = asked, true
		}
		request.GetRequestForm().Del(markParameter)
	}
	if err := p.checkHint(ctx, request); err != nil {
		return request, p.answer(ctx, c, authorizeEndpoint, err)
	}
	if forbidsPages(request) && !p.allowUnbound {
		// OpenID Connect Core 1.0, section 3.1.2.1: none with any other value is an error, also without a
		// session.
		if len(prompts(request)) > 1 {
			return request,
				fosite.ErrInvalidRequest.WithHint("The prompt has none together with another value.")
		}
		live, err := p.live(ctx, c)
		switch {
		case err != nil:
			return request, p.answer(ctx, c, authorizeEndpoint, err)
		case NeedsSignIn(live, request):
			return request,
				fosite.ErrLoginRequired.WithHint("The user would have to sign in, which prompt=none forbids.")
		}
	}
	return request, nil
}

// checkHint refuses an id_token_hint that this server signed but that is not an ID token. fosite and
// NeedsSignIn handle other hints.
func (p *Provider) checkHint(ctx context.Context, request fosite.AuthorizeRequester) error {
	hint := request.GetRequestForm().Get("id_token_hint")
	if hint == "" || p.hints == nil {
		return nil
	}
	switch _, err := p.hints.Verify(ctx, hint); {
	case errors.Is(err, ticketstore.ErrUnavailable):
		return err
	case errors.Is(err, hostadapter.ErrNotIDToken):
		return fosite.ErrInvalidRequest.WithWrap(err).WithHint("The id_token_hint is not an ID token of " +
			"this server.")
	}
	return nil
}

// NewAuthorizeResponse binds the grant to the user's session (Bind) and calls fosite. All that fosite stores,
// and the client's use of the session, is written in one durable batch.
//
// It returns ErrUnbound for a user without a live session, unless Config.AllowUnbound is set, and
// fosite.ErrLoginRequired if the session has ended meanwhile.
func (p *Provider) NewAuthorizeResponse(
	ctx context.Context, request fosite.AuthorizeRequester, session fosite.Session,
) (fosite.AuthorizeResponder, error) {
	c := p.carrierOf(ctx, request)
	if c.marked && len(request.GetRequestedScopes()) > 0 && len(request.GetGrantedScopes()) == 0 {
		// Consent was asked for on another page and the decision was lost: the token would have no scopes.
		return nil, fosite.ErrConsentRequired.WithHint(
			"None of the requested scopes was granted when the request came back.")
	}
	sid, err := p.bind(ctx, c, request, session)
	if err != nil {
		return nil, p.answer(ctx, c, authorizeEndpoint, err)
	}
	if err := p.applyHint(ctx, request, session); err != nil {
		return nil, p.answer(ctx, c, authorizeEndpoint, err)
	}
	var pushed *row
	if uri := p.store.pushedURI(ctx, request); uri != "" {
		pushed, err = p.store.get(c.into(ctx), grantstore.PushedAuthorization, uri)
		if errors.Is(err, fosite.ErrNotFound) {
			err = errPushedGone.WithWrap(err)
		}
		if err != nil {
			return nil, p.answer(ctx, c, authorizeEndpoint, err)
		}
	}
	var response fosite.AuthorizeResponder
	err = p.inBatch(ctx, c, func(ctx context.Context) (err error) {
		response, err = p.OAuth2Provider.NewAuthorizeResponse(ctx, request, session)
		return err
	}, func(batch *grantstore.Batch) {
		if sid != "" {
			batch.Use = p.store.use(ctx, c, sid, request.GetClient().GetID())
		}
		if pushed != nil {
			batch.Seen = append(batch.Seen, grantstore.PreconditionOf(pushed.grant))
			batch.Delete = append(batch.Delete, pushed.grant.Ref)
		}
	})
	if pushed != nil && errors.Is(err, ticketstore.ErrConflict) {
		err = errPushedGone.WithWrap(err)
	}
	if err != nil {
		return nil, p.answer(ctx, c, authorizeEndpoint, err)
	}
	return response, nil
}

// applyHint compares the user with the subject of a verified id_token_hint (OpenID Connect Core 1.0, section
// 3.1.2.2) and removes the hint from the request: fosite, here and at the token endpoint, verifies with the
// current key only and would refuse a hint signed with a former key. fosite handles unverified hints.
func (p *Provider) applyHint(
	ctx context.Context, request fosite.AuthorizeRequester, session fosite.Session,
) error {
	form := request.GetRequestForm()
	token := form.Get("id_token_hint")
	if token == "" || p.hints == nil || isNil(session) || !request.GetRequestedScopes().Has("openid") {
		return nil
	}
	hint, err := p.hints.Verify(ctx, token)
	switch {
	case errors.Is(err, ticketstore.ErrUnavailable):
		return err
	case err != nil:
		return nil
	case hint.Subject != subjectOf(session):
		return fosite.ErrLoginRequired.WithHint(
			"The id_token_hint is for a different user than the one signed in.",
		)
	}
	form.Del("id_token_hint")
	return nil
}

// live returns the user's session, or nil if no user is signed in. It tries both contexts: the host's context
// may not be derived from that of the HTTP request.
func (p *Provider) live(ctx context.Context, c *carrier) (*hostadapter.Session, error) {
	live, err := p.store.adapter.SessionFromContext(ctx)
	if errors.Is(err, hostadapter.ErrNoMiddleware) {
		live, err = p.store.adapter.SessionFromContext(c.request)
	}
	if errors.Is(err, hostadapter.ErrNoMiddleware) {
		return nil, nil
	}
	c.note(err)
	return live, err
}

// bind binds the grant to the user's session and returns its sid, or "" for a grant that needs no session.
func (p *Provider) bind(
	ctx context.Context, c *carrier, request fosite.AuthorizeRequester, session fosite.Session,
) (string, error) {
	if isNil(session) {
		return "", nil
	}
	live, err := p.live(ctx, c)
	if err != nil {
		return "", err
	}
	requestedAt := request.GetRequestedAt()
	if forbidsPages(request) && live != nil && live.AuthTime.After(requestedAt) {
		// No page was shown, and NewAuthorizeRequest has already applied prompt=none. The user signed in
		// through a callback from another provider, which fosite would mistake for a page.
		requestedAt = live.AuthTime
	}
	bindRequestTime(session, requestedAt)
	if live != nil {
		switch err := Bind(session, live); {
		case err == nil:
			return SessionIDOf(session), nil
		case !p.allowUnbound:
			return "", err
		}
	}
	// The host may have bound the session itself, in an earlier request. The store checks that it is live.
	sid, subject := SessionIDOf(session), subjectOf(session)
	switch {
	case subject == "":
		return sid, nil
	case sid == "" && !p.allowUnbound:
		return "", ErrUnbound
	}
	// For a live session the middleware has asked.
	return sid, p.refuseInactive(ctx, subject, fosite.ErrAccessDenied)
}

// WriteAuthorizeError answers 503 with Retry-After if the store is unavailable or a context has ended, so
// that the browser can retry, else as fosite does, but 400 to an unknown client instead of 401.
func (p *Provider) WriteAuthorizeError(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester, err error,
) {
	p.store.carriers.release(request)
	if p.wroteUnavailable(ctx, rw, err) {
		return
	}
	if request != nil {
		p.removePushed(ctx, request)
	}
	p.protectFormPost(rw, request)
	p.OAuth2Provider.WriteAuthorizeError(ctx, rw, request, withoutChallenge(err))
}

// withoutChallenge makes a 401 a 400. A 401 needs a challenge (RFC 9110, section 15.5.2), and no credentials
// would help at the authorization endpoint, where the client does not authenticate.
func withoutChallenge(err error) error {
	reason := fosite.ErrorToRFC6749Error(err)
	if reason.CodeField != http.StatusUnauthorized {
		return err
	}
	bad := *reason
	bad.CodeField = http.StatusBadRequest
	return &bad
}

// removePushed removes a pushed request that is answered with an error. If the removal fails, the request
// stays valid until it expires.
func (p *Provider) removePushed(ctx context.Context, request fosite.AuthorizeRequester) {
	uri := p.store.pushedURI(ctx, request)
	if uri == "" {
		return
	}
	if err := p.store.deletePushed(context.WithoutCancel(ctx), uri); err != nil &&
		!errors.Is(err, fosite.ErrNotFound) {
		p.store.tie.Logger.WarnContext(ctx, "a pushed authorization request was answered and not removed",
			"error", err)
	}
}

// WriteAuthorizeResponse wraps fosite's and adds a Content-Security-Policy to a form_post page.
func (p *Provider) WriteAuthorizeResponse(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester,
	response fosite.AuthorizeResponder,
) {
	p.store.carriers.release(request)
	p.protectFormPost(rw, request)
	p.OAuth2Provider.WriteAuthorizeResponse(ctx, rw, request, response)
}

// NewPushedAuthorizeRequest wraps fosite's and preserves the store's errors. A request of a public client,
// which has not authenticated, is refused with invalid_request if it has more than 16 KiB of parameters.
func (p *Provider) NewPushedAuthorizeRequest(
	ctx context.Context, r *http.Request,
) (fosite.AuthorizeRequester, error) {
	c := newCarrier(r.Context())
	request, err := p.OAuth2Provider.NewPushedAuthorizeRequest(c.into(ctx), r)
	if err == nil && request.GetClient().IsPublic() && isTooLong(request) {
		err = errRequestTooLong
	}
	p.store.carriers.bind(request, c)
	return request, p.answer(ctx, c, authorizeEndpoint, err)
}

// NewPushedAuthorizeResponse wraps fosite's and preserves the store's errors.
func (p *Provider) NewPushedAuthorizeResponse(
	ctx context.Context, request fosite.AuthorizeRequester, session fosite.Session,
) (fosite.PushedAuthorizeResponder, error) {
	c := p.carrierOf(ctx, request)
	response, err := p.OAuth2Provider.NewPushedAuthorizeResponse(c.into(ctx), request, session)
	if err != nil {
		return nil, p.answer(ctx, c, authorizeEndpoint, err)
	}
	return response, nil
}

// WritePushedAuthorizeResponse wraps fosite's.
func (p *Provider) WritePushedAuthorizeResponse(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester,
	response fosite.PushedAuthorizeResponder,
) {
	p.store.carriers.release(request)
	p.OAuth2Provider.WritePushedAuthorizeResponse(ctx, rw, request, response)
}

// WritePushedAuthorizeError answers 503 with Retry-After if the store is unavailable or a context has ended,
// else as fosite does.
func (p *Provider) WritePushedAuthorizeError(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester, err error,
) {
	p.store.carriers.release(request)
	if p.wroteUnavailable(ctx, rw, err) {
		return
	}
	p.OAuth2Provider.WritePushedAuthorizeError(ctx, challenged(rw, err), request, err)
}
