package fositestore

// The Provider at the authorization endpoint.

import (
	"context"
	"errors"
	"net/http"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// NewAuthorizeRequest is fosite's, with the store's errors as they are. An OpenID request with prompt=none
// from a user who would have to sign in is fosite.ErrLoginRequired, for WriteAuthorizeError, and one with
// none and another value fosite.ErrInvalidRequest, unless Config.AllowUnbound is set. A pushed request can be
// read again until it is answered. One that comes back with the mark of Sessions.ReturnURL is of the moment
// of that mark.
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
	if asked, ok := p.store.askedAt(r); ok {
		if concrete, ok := request.(*fosite.AuthorizeRequest); ok {
			concrete.RequestedAt, c.marked = asked, true
		}
		request.GetRequestForm().Del(markParameter)
	}
	if err := p.checkHint(ctx, request); err != nil {
		return request, p.answer(ctx, c, authorizeEndpoint, err)
	}
	if mustNotAsk(request) && !p.allowUnbound {
		// OpenID Connect Core 1.0, section 3.1.2.1: none goes with no other value, whoever is signed in.
		if len(prompts(request)) > 1 {
			return request,
				fosite.ErrInvalidRequest.WithHint("The prompt is none together with another value.")
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

// checkHint refuses an id_token_hint that is genuine, but no ID token. Any other is left to fosite and
// NeedsSignIn.
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

// NewAuthorizeResponse binds the grant to the session that the user is signed in with (Bind), has fosite
// answer, and writes all that it stores, and that the client uses the session, in one durable step.
//
// A grant to a user without a live session is ErrUnbound, unless Config.AllowUnbound is set. A session that
// ended meanwhile is fosite.ErrLoginRequired.
func (p *Provider) NewAuthorizeResponse(
	ctx context.Context, request fosite.AuthorizeRequester, session fosite.Session,
) (fosite.AuthorizeResponder, error) {
	c := p.carrierOf(ctx, request)
	if c.marked && len(request.GetRequestedScopes()) > 0 && len(request.GetGrantedScopes()) == 0 {
		// Consent was asked for on another page, and what came of it is lost: the token would be good for
		// nothing.
		return nil, fosite.ErrConsentRequired.WithHint(
			"None of the requested scopes was granted when the request came back.")
	}
	sid, err := p.bind(ctx, c, request, session)
	if err != nil {
		return nil, p.answer(ctx, c, authorizeEndpoint, err)
	}
	if err := p.meetHint(ctx, request, session); err != nil {
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
	err = p.gathering(ctx, c, func(ctx context.Context) (err error) {
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

// meetHint compares the user with that of a genuine id_token_hint (OpenID Connect Core 1.0, section 3.1.2.2)
// and takes the hint out of the request: fosite, here and again at the token endpoint, knows the present key
// alone and would refuse one that was signed by a former key. What cannot be verified is left to fosite.
func (p *Provider) meetHint(
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
			"The id_token_hint is of another user than the one signed in.",
		)
	}
	form.Del("id_token_hint")
	return nil
}

// live returns the session of the user, or nil when no user is. The host's context may not be that
// of the HTTP request.
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

// bind ties the grant to the session signed in, and returns its sid. It is empty for a grant that needs none.
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
	if mustNotAsk(request) && live != nil && live.AuthTime.After(requestedAt) {
		// No page was shown, or this would be no answer to the request: NewAuthorizeRequest has judged
		// it. The user has signed in by a callback of another provider, which fosite would take for a page.
		requestedAt = live.AuthTime
	}
	bindRequestTime(session, requestedAt)
	if live != nil {
		if err := Bind(session, live); err != nil && !p.allowUnbound {
			return "", err
		}
		return SessionIDOf(session), nil
	}
	// A host may have bound it itself, in a request of its own; the store checks that the session lives.
	sid := SessionIDOf(session)
	if sid == "" && subjectOf(session) != "" && !p.allowUnbound {
		return "", ErrUnbound
	}
	return sid, nil
}

// WriteAuthorizeError answers 503 with Retry-After for a store that cannot be asked, so that the browser can
// try again, else what fosite does.
func (p *Provider) WriteAuthorizeError(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester, err error,
) {
	p.store.carriers.release(request)
	if p.wroteUnavailable(ctx, rw, err) {
		return
	}
	if request != nil {
		p.forgetPushed(ctx, request)
	}
	p.protectFormPost(rw, request)
	p.OAuth2Provider.WriteAuthorizeError(ctx, rw, request, err)
}

// forgetPushed removes a pushed request that is answered with an error. Where that fails it is good until it
// expires.
func (p *Provider) forgetPushed(ctx context.Context, request fosite.AuthorizeRequester) {
	uri := p.store.pushedURI(ctx, request)
	if uri == "" {
		return
	}
	if err := p.store.deletePushed(context.WithoutCancel(ctx), uri); err != nil &&
		!errors.Is(err, fosite.ErrNotFound) {
		p.store.tie.Logger().WarnContext(ctx, "a pushed authorization request was answered and not removed",
			"error", err)
	}
}

// WriteAuthorizeResponse is fosite's, with a Content-Security-Policy where it is a page
// (response_mode=form_post).
func (p *Provider) WriteAuthorizeResponse(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester,
	response fosite.AuthorizeResponder,
) {
	p.store.carriers.release(request)
	p.protectFormPost(rw, request)
	p.OAuth2Provider.WriteAuthorizeResponse(ctx, rw, request, response)
}

// NewPushedAuthorizeRequest is fosite's, with the store's errors as they are.
func (p *Provider) NewPushedAuthorizeRequest(
	ctx context.Context, r *http.Request,
) (fosite.AuthorizeRequester, error) {
	c := newCarrier(r.Context())
	request, err := p.OAuth2Provider.NewPushedAuthorizeRequest(c.into(ctx), r)
	p.store.carriers.bind(request, c)
	return request, p.answer(ctx, c, authorizeEndpoint, err)
}

// NewPushedAuthorizeResponse is fosite's, with the store's errors as they are.
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

// WritePushedAuthorizeResponse is fosite's.
func (p *Provider) WritePushedAuthorizeResponse(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester,
	response fosite.PushedAuthorizeResponder,
) {
	p.store.carriers.release(request)
	p.OAuth2Provider.WritePushedAuthorizeResponse(ctx, rw, request, response)
}

// WritePushedAuthorizeError answers 503 with Retry-After for a store that cannot be asked, else what fosite
// does.
func (p *Provider) WritePushedAuthorizeError(
	ctx context.Context, rw http.ResponseWriter, request fosite.AuthorizeRequester, err error,
) {
	p.store.carriers.release(request)
	if p.wroteUnavailable(ctx, rw, err) {
		return
	}
	p.OAuth2Provider.WritePushedAuthorizeError(ctx, challenged(rw, err), request, err)
}
