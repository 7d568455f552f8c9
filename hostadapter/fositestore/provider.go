package fositestore

// Provider decorates fosite's provider.

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/loglimit"
)

// Provider decorates fosite's provider. It binds grants to the user's session, saves round trips to the
// stores, and reports store errors that fosite would hide. Obtain one from Sessions.Provider and use it in
// place of fosite's.
//
// If the store is unavailable, every endpoint answers 503 with Retry-After; the error is
// ticketstore.ErrUnavailable. If the session has ended, the answer is invalid_grant at the token endpoint,
// login_required at the authorization endpoint and {"active":false} at introspection.
//
// Hosts may pass any context to the methods: calls of one request are associated by the request that fosite
// returned.
type Provider struct {
	// OAuth2Provider is the decorated provider.
	fosite.OAuth2Provider

	store        *Store
	hints        hostadapter.IDTokenHints
	allowUnbound bool
	outage       loglimit.Lines

	mayIntrospect func(ctx context.Context, client fosite.Client, token fosite.AccessRequester) bool
}

var _ fosite.OAuth2Provider = (*Provider)(nil)

// carrierOf returns the carrier of a request that NewAuthorizeRequest or NewAccessRequest returned, or a new
// carrier for a request that the host made itself.
func (p *Provider) carrierOf(ctx context.Context, request fosite.Requester) *carrier {
	if c := p.store.carriers.of(request); c != nil {
		return c
	}
	return newCarrier(ctx)
}

// inBatch runs a call of fosite's and applies its writes as one batch, completed by add. After an error
// only deletions and revocations are applied: fosite revokes a family when a code is used twice.
func (p *Provider) inBatch(
	ctx context.Context, c *carrier, call func(context.Context) error, add func(*grantstore.Batch),
) error {
	c.startBatch()
	err := call(c.into(ctx))
	committed, batch := c.takeBatch(err != nil)
	for _, b := range committed {
		if commitErr := p.store.commit(ctx, c, b); commitErr != nil {
			return cmp.Or(err, commitErr)
		}
	}
	if err == nil && add != nil {
		add(batch)
	}
	if isEmpty(batch) {
		return err
	}
	return cmp.Or(err, p.store.commit(ctx, c, batch))
}

// NewAccessRequest wraps fosite's and preserves the store's errors.
func (p *Provider) NewAccessRequest(
	ctx context.Context, r *http.Request, session fosite.Session,
) (fosite.AccessRequester, error) {
	c := newCarrier(r.Context())
	var request fosite.AccessRequester
	err := p.inBatch(ctx, c, func(ctx context.Context) (err error) {
		request, err = p.OAuth2Provider.NewAccessRequest(ctx, r, session)
		return err
	}, nil)
	p.store.carriers.bind(request, c)
	if err == nil && endpointOf(request) == tokenEndpoint {
		err = p.checkUserActive(ctx, request, fosite.ErrInvalidGrant)
	}
	return request, p.answer(ctx, c, endpointOf(request), err)
}

// NewAccessResponse wraps fosite's, stores everything in one durable write, and preserves the store's errors.
func (p *Provider) NewAccessResponse(
	ctx context.Context, request fosite.AccessRequester,
) (fosite.AccessResponder, error) {
	c := p.carrierOf(ctx, request)
	var response fosite.AccessResponder
	err := p.inBatch(ctx, c, func(ctx context.Context) (err error) {
		response, err = p.OAuth2Provider.NewAccessResponse(ctx, request)
		return err
	}, c.prove)
	if err != nil {
		return nil, p.answer(ctx, c, endpointOf(request), err)
	}
	return response, nil
}

// WriteAccessError answers 503 with Retry-After if the store is unavailable or a context has ended, else as
// fosite does, with the WWW-Authenticate header that fosite omits: Basic for a client that did not
// authenticate, else Bearer.
func (p *Provider) WriteAccessError(
	ctx context.Context, rw http.ResponseWriter, request fosite.AccessRequester, err error,
) {
	p.store.carriers.release(request)
	if p.wroteUnavailable(ctx, rw, err) {
		return
	}
	p.OAuth2Provider.WriteAccessError(ctx, challenged(rw, err), request, err)
}

// WriteAccessResponse wraps fosite's.
func (p *Provider) WriteAccessResponse(
	ctx context.Context, rw http.ResponseWriter, request fosite.AccessRequester,
	response fosite.AccessResponder,
) {
	p.store.carriers.release(request)
	p.OAuth2Provider.WriteAccessResponse(ctx, rw, request, response)
}

// NewRevocationRequest wraps fosite's with one durable write. Success means that the revocation is on disk.
func (p *Provider) NewRevocationRequest(ctx context.Context, r *http.Request) error {
	c := newCarrier(r.Context())
	c.revoking = true
	err := p.inBatch(ctx, c, func(ctx context.Context) error {
		return p.OAuth2Provider.NewRevocationRequest(ctx, r)
	}, nil)
	return p.answer(ctx, c, otherEndpoint, err)
}

// WriteRevocationResponse answers 503 with Retry-After if the store is unavailable or a context has ended,
// and an error if the client assertion was used before, where fosite would answer 200 although the token was
// not revoked. For another client's token, which is not revoked, the answer is 200 as from fosite.
func (p *Provider) WriteRevocationResponse(ctx context.Context, rw http.ResponseWriter, err error) {
	if p.wroteUnavailable(ctx, rw, err) || p.wroteFailure(ctx, rw, err) {
		return
	}
	if errors.Is(err, fosite.ErrJTIKnown) {
		p.OAuth2Provider.WriteAccessError(ctx, rw, nil, fosite.ErrJTIKnown.WithWrap(err))
		return
	}
	p.OAuth2Provider.WriteRevocationResponse(ctx, challenged(rw, err), err)
}

// IntrospectToken wraps fosite's and preserves the store's errors. It serves userinfo endpoints.
func (p *Provider) IntrospectToken(
	ctx context.Context, token string, tokenUse fosite.TokenUse, session fosite.Session, scope ...string,
) (fosite.TokenUse, fosite.AccessRequester, error) {
	c := newCarrier(ctx)
	use, request, err := p.OAuth2Provider.IntrospectToken(c.into(ctx), token, tokenUse, session, scope...)
	if err == nil {
		err = p.checkUserActive(ctx, request, fosite.ErrRequestUnauthorized)
	}
	if err == nil {
		p.store.slide(ctx, c)
	}
	return use, request, p.answer(ctx, c, otherEndpoint, err)
}

// NewIntrospectionRequest wraps fosite's and preserves the store's errors. Config.MayIntrospect may hide a
// live token.
func (p *Provider) NewIntrospectionRequest(
	ctx context.Context, r *http.Request, session fosite.Session,
) (fosite.IntrospectionResponder, error) {
	c := newCarrier(r.Context())
	response, err := p.OAuth2Provider.NewIntrospectionRequest(c.into(ctx), r, session)
	if err == nil && response.IsActive() && p.mayIntrospect != nil {
		client, unknown := p.introspectingClient(ctx, c, r, session)
		if unknown != nil || !p.mayIntrospect(ctx, client, response.GetAccessRequester()) {
			response = &fosite.IntrospectionResponse{Active: false}
			err = cmp.Or(unknown,
				error(fosite.ErrInactiveToken.WithHint("The client may not see this token.")))
		}
	}
	if err == nil && response.IsActive() {
		err = p.checkUserActive(ctx, response.GetAccessRequester(), fosite.ErrInactiveToken)
	}
	if err == nil && response.IsActive() {
		p.store.slide(ctx, c)
	}
	return response, p.answer(ctx, c, otherEndpoint, err)
}

// checkUserActive returns the refusal if the host reports that the user of a token is not active, with or
// without a session. A token of the client credentials grant has no user: its subject may be the client
// (RFC 9068, section 2.2). Such a token has no session, and no authorization request before it, whose
// parameters the sender chooses.
func (p *Provider) checkUserActive(
	ctx context.Context, request fosite.Requester, refusal *fosite.RFC6749Error,
) error {
	session := request.GetSession()
	if isNil(session) {
		return nil
	}
	subject := subjectOf(session)
	form := request.GetRequestForm()
	if subject == "" || SessionIDOf(session) == "" && form.Get("response_type") == "" &&
		(subject == request.GetClient().GetID() || form.Get("grant_type") == "client_credentials") {
		return nil
	}
	return p.refuseInactive(ctx, subject, refusal)
}

// refuseInactive returns the refusal if the host reports that the user is not active.
func (p *Provider) refuseInactive(ctx context.Context, subject string, refusal *fosite.RFC6749Error) error {
	active, err := p.store.tie.UserActive(ctx, subject)
	if err == nil && !active {
		err = refusal.WithHint("The user's account is not active.")
	}
	return err
}

// introspectingClient returns the client that sent an introspection request. fosite has authenticated it but
// does not return it.
func (p *Provider) introspectingClient(
	ctx context.Context, c *carrier, r *http.Request, session fosite.Session,
) (fosite.Client, error) {
	if token := fosite.AccessTokenFromRequest(r); token != "" {
		own := newCarrier(r.Context())
		empty := newSameType(session)
		if empty == nil {
			empty = session.Clone()
		}
		_, request, err := p.OAuth2Provider.IntrospectToken(own.into(ctx), token, fosite.AccessToken, empty)
		if err != nil {
			return nil, p.answer(ctx, own, otherEndpoint, err)
		}
		return request.GetClient(), nil
	}
	name, _, _ := r.BasicAuth()
	id, err := url.QueryUnescape(name)
	if err != nil {
		return nil, fosite.ErrRequestUnauthorized.WithWrap(err)
	}
	return p.store.GetClient(c.into(ctx), id)
}

// WriteIntrospectionError answers 503 with Retry-After if the store is unavailable or a context has ended,
// where fosite would answer {"active":false}.
func (p *Provider) WriteIntrospectionError(ctx context.Context, rw http.ResponseWriter, err error) {
	if p.wroteUnavailable(ctx, rw, err) || p.wroteFailure(ctx, rw, err) {
		return
	}
	p.OAuth2Provider.WriteIntrospectionError(ctx, &challenging{rw, []string{basic, bearer}}, err)
}
