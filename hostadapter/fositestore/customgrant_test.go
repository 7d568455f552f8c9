package fositestore_test

// Custom grant types.

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"

// exchangeHandler is a custom grant handler: it reads a token of the user, and returns its own error if it
// cannot.
type exchangeHandler struct {
	store  *fositestore.Store
	refuse func(err error) error
}

func (h *exchangeHandler) HandleTokenEndpointRequest(
	ctx context.Context, request fosite.AccessRequester,
) error {
	_, signature, _ := strings.Cut(request.GetRequestForm().Get("subject_token"), ".")
	_, err := h.store.GetAccessTokenSession(ctx, signature, request.GetSession())
	if err == nil {
		err = errors.New("want a token that is not live")
	}
	return h.refuse(err)
}

func (h *exchangeHandler) PopulateTokenEndpointResponse(
	context.Context, fosite.AccessRequester, fosite.AccessResponder,
) error {
	return nil
}
func (h *exchangeHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}
func (h *exchangeHandler) CanHandleTokenEndpointRequest(
	_ context.Context, request fosite.AccessRequester,
) bool {
	return request.GetGrantTypes().ExactOne(exchangeGrant)
}

// The errors of a custom handler are kept, whatever store errors they wrap.
func TestCustomGrantKeepsItsErrors(t *testing.T) {
	t.Parallel()
	handler := &exchangeHandler{}
	var own atomic.Pointer[fosite.RFC6749Error]
	handler.refuse = func(err error) error {
		return own.Load().WithWrap(err).WithHint("The host's own hint.")
	}
	h := newHost(t, func(h *host, _ *fositestore.Config) {
		app, _ := h.memory.Clients["app"].(*fosite.DefaultClient)
		app.GrantTypes = append(slices.Clone(app.GrantTypes), exchangeGrant)
		h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
			provider := compose.ComposeAllEnabled(config, store, signingKey())
			handler.store = store
			config.TokenEndpointHandlers.Append(handler)
			return provider
		}
	})
	_, r := h.tokens("ann")
	h.end("ann")
	invalidTarget := &fosite.RFC6749Error{ErrorField: "invalid_target", CodeField: http.StatusBadRequest}
	for _, want := range []*fosite.RFC6749Error{
		fosite.ErrRequestUnauthorized, fosite.ErrInvalidRequest, fosite.ErrAccessDenied,
		fosite.ErrInvalidScope, fosite.ErrInvalidGrant, invalidTarget,
		fosite.ErrInvalidClient, fosite.ErrUnauthorizedClient,
	} {
		for what, token := range map[string]string{
			"an ended session's": r.str("access_token"), "an unknown": "a.b",
		} {
			own.Store(want)
			got := h.post("/token", url.Values{"grant_type": {exchangeGrant}, "subject_token": {token}})
			got.must(t, want.CodeField, want.ErrorField)
			if description := got.str("error_description"); !strings.Contains(description,
				"The host's own hint.") {
				t.Errorf("%s token: %s: want the handler's own hint, got %q", what, want.ErrorField,
					description)
			}
		}
	}
}
