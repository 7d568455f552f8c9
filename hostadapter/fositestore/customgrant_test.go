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
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
)

const exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"

// handlesExchange is the part that the custom grant handlers share.
type handlesExchange struct{}

func (handlesExchange) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

func (handlesExchange) CanHandleTokenEndpointRequest(
	_ context.Context, request fosite.AccessRequester,
) bool {
	return request.GetGrantTypes().ExactOne(exchangeGrant)
}

// exchangeHandler is a custom grant handler: it reads a token of the user, and returns its own error if it
// cannot.
type exchangeHandler struct {
	handlesExchange
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

// issuingHandler exchanges a token of a user for one of another client, in the same session.
type issuingHandler struct {
	handlesExchange
	helper oauth2.HandleHelper
}

func (h *issuingHandler) HandleTokenEndpointRequest(
	ctx context.Context, request fosite.AccessRequester,
) error {
	_, signature, _ := strings.Cut(request.GetRequestForm().Get("subject_token"), ".")
	subject, err := h.helper.AccessTokenStorage.GetAccessTokenSession(ctx, signature, request.GetSession())
	if err == nil {
		request.SetSession(subject.GetSession())
	}
	return err
}

func (h *issuingHandler) PopulateTokenEndpointResponse(
	ctx context.Context, request fosite.AccessRequester, response fosite.AccessResponder,
) error {
	_, err := h.helper.IssueAccessToken(ctx, time.Hour, request, response)
	return err
}

// A client that gets a token in a session from a host's own handler is a client of the session: it is listed,
// and notified when the session ends.
func TestCustomGrantForAnotherClient(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(h *host, c *fositestore.Config) {
		other, _ := h.memory.Clients["other"].(*fosite.DefaultClient)
		other.GrantTypes = append(slices.Clone(other.GrantTypes), exchangeGrant)
		c.Host.Clients = logout.ClientMap{"other": {BackChannelLogoutURI: "https://other.example/logout"}}
		h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
			provider := compose.ComposeAllEnabled(config, store, signingKey())
			config.TokenEndpointHandlers.Append(&issuingHandler{helper: oauth2.HandleHelper{
				AccessTokenStrategy: compose.NewOAuth2HMACStrategy(config), AccessTokenStorage: store,
				Config: config,
			}})
			return provider
		}
	})
	_, r := h.tokens("ann")
	exchanged := h.post("/token", url.Values{
		"as": {"other"}, "grant_type": {exchangeGrant}, "subject_token": {r.str("access_token")},
	})
	exchanged.must(t, http.StatusOK, "")
	h.mustActive(exchanged.str("access_token"), true)
	report, err := h.sessions.Operations().SessionByID(t.Context(), h.sid("ann"))
	if err != nil || len(report.Clients) != 2 {
		t.Errorf("want both clients, got %+v, %v", report, err)
	}
	result, err := h.sessions.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SubjectID: "ann"})
	if err != nil || result.NotificationsQueued != 1 {
		t.Errorf("want a notification of the other client, got %+v, %v", result, err)
	}
	h.mustActive(exchanged.str("access_token"), false)
}
