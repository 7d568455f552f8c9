package fositestore

// Error responses of fosite's endpoints: store errors take precedence over fosite's translation (rule 4).

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// retryAfter is the Retry-After of a 503, in seconds.
const retryAfter = "2"

// endpoint selects how store errors are translated.
type endpoint int

const (
	tokenEndpoint endpoint = iota
	// the token endpoint, with a grant type that consumes neither a code nor a refresh token
	customGrant
	authorizeEndpoint
	otherEndpoint // fosite's own response is right: inactive, revoked
)

// errStore marks a store error that a retry cannot fix, such as a grant that cannot be unsealed.
var errStore = errors.New("session store failed")

// answer translates an error of a fosite call: it is fosite's error unless a store error caused it. The store
// error stays in the chain.
func (p *Provider) answer(ctx context.Context, c *carrier, at endpoint, err error) error {
	if err == nil {
		return nil
	}
	failure := c.failed()
	switch {
	case isUnavailable(failure):
		return p.unavailable(ctx, failure)
	case isUnavailable(err):
		return p.unavailable(ctx, err)
	case failure != nil:
		p.store.tie.Logger.ErrorContext(ctx, "session store failed", "error", failure)
		return fosite.ErrServerError.WithWrap(fmt.Errorf("%w: %w", errStore, failure))
	case errors.Is(err, ErrUnbound):
		const advice = "sign the user in with SignIn, below the session middleware"
		p.store.tie.Logger.ErrorContext(ctx, "authorization was refused: "+advice, "error", err)
		return fosite.ErrServerError.WithWrap(err).
			WithHint("The authorization is not bound to a session: " + advice + ".")
	case errors.Is(err, ticketstore.ErrTooManyClients):
		p.store.tie.Logger.WarnContext(ctx, "authorization was refused", "error", err,
			"most", ticketstore.MaxClients)
		return fosite.ErrInvalidRequest.WithWrap(err).
			WithHint("The user's session has reached its maximum number of clients: sign out and in " +
				"again to use others.")
	}
	switch at {
	case tokenEndpoint, customGrant:
		err = tokenAnswer(at, err)
		if _, known := errors.AsType[*fosite.RFC6749Error](err); !known {
			// Such as of a signer. fosite would answer {"error":"error"}.
			p.store.tie.Logger.ErrorContext(ctx, "a token request failed", "error", err)
			err = fosite.ErrServerError.WithWrap(err)
		}
		return err
	case authorizeEndpoint:
		return authorizeAnswer(err)
	}
	return err
}

func (p *Provider) unavailable(ctx context.Context, cause error) error {
	if suppressed, ok := p.outage.Allow(p.store.tie.Now()); ok {
		p.store.tie.Logger.WarnContext(ctx, "session store is unavailable", "error", cause,
			"lines_suppressed", suppressed)
	}
	if !errors.Is(cause, ticketstore.ErrUnavailable) {
		cause = fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, cause)
	}
	return fosite.ErrTemporarilyUnavailable.WithWrap(cause)
}

// endpointOf returns the endpoint by which the errors of a token request are translated.
func endpointOf(request fosite.AccessRequester) endpoint {
	if request == nil || request.GetGrantTypes().HasOneOf("authorization_code", "refresh_token") {
		return tokenEndpoint
	}
	return customGrant
}

// wrappingErrors are the errors in which fosite's handlers wrap store errors.
var wrappingErrors = map[endpoint][]*fosite.RFC6749Error{
	tokenEndpoint: {fosite.ErrServerError, fosite.ErrInvalidGrant, fosite.ErrInvalidRequest,
		fosite.ErrNotFound, fosite.ErrInactiveToken,
		fosite.ErrJTIKnown},
	customGrant: {fosite.ErrServerError, fosite.ErrInactiveToken, fosite.ErrJTIKnown},
}

// tokenAnswer translates a store error that a handler wrapped in one of wrappingErrors. Any other error is
// the handler's own response, also from a handler of the host, whatever it wraps.
func tokenAnswer(at endpoint, err error) error {
	if errors.Is(err, errUnsupported) {
		return fosite.ErrUnsupportedGrantType.WithWrap(err)
	}
	var said *fosite.RFC6749Error
	if errors.As(err, &said) && !slices.ContainsFunc(wrappingErrors[at], func(e *fosite.RFC6749Error) bool {
		return said.Is(e)
	}) {
		return err
	}
	switch {
	case errors.Is(err, grantstore.ErrSessionEnded):
		return fosite.ErrInvalidGrant.WithWrap(err).WithHint("The session in which it was granted has ended.")
	case errors.Is(err, grantstore.ErrConsumed), errors.Is(err, ticketstore.ErrNotFound),
		errors.Is(err, ticketstore.ErrConflict):
		if errors.Is(err, fosite.ErrInvalidGrant) {
			return err // keep fosite's own hint
		}
		return fosite.ErrInvalidGrant.WithWrap(err).WithHint("The grant was used by another request.")
	case errors.Is(err, fosite.ErrJTIKnown):
		return fosite.ErrJTIKnown.WithWrap(err)
	}
	return err
}

func authorizeAnswer(err error) error {
	switch {
	case errors.Is(err, grantstore.ErrSessionEnded):
		return fosite.ErrLoginRequired.WithWrap(err).WithHint("The session has ended.")
	case errors.Is(err, ticketstore.ErrInvalid):
		return fosite.ErrInvalidRequest.WithWrap(err).WithHint(
			"The request cannot be stored.",
		).WithDebug(err.Error())
	case errors.Is(err, fosite.ErrServerError) && errors.Is(err, fosite.ErrNotFound):
		return fosite.ErrInvalidRequestURI.WithWrap(err).WithHint("The pushed authorization request was " +
			"used before.")
	}
	return err
}

// wroteUnavailable answers 503 and returns true if the error means that the store is unavailable. The error
// may be one of the host's own calls, such as Session, which return the error of a context that has ended.
func (p *Provider) wroteUnavailable(ctx context.Context, rw http.ResponseWriter, err error) bool {
	if !isUnavailable(err) && !errors.Is(err, fosite.ErrTemporarilyUnavailable) {
		return false
	}
	rw.Header().Set("Retry-After", retryAfter)
	p.OAuth2Provider.WriteAccessError(ctx, rw, nil, fosite.ErrTemporarilyUnavailable.WithWrap(err))
	return true
}

// wroteFailure answers 500 and returns true if the store failed, where fosite would answer 200.
func (p *Provider) wroteFailure(ctx context.Context, rw http.ResponseWriter, err error) bool {
	if !errors.Is(err, errStore) {
		return false
	}
	p.OAuth2Provider.WriteAccessError(ctx, rw, nil, fosite.ErrServerError.WithWrap(err))
	return true
}
