package fositestore_test

// Verifiable credentials: nonces are kept in the host's store, wherever the grants are.

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/verifiable"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// credentialScope makes fosite add a nonce to token responses.
const credentialScope = "userinfo_credential_draft_00"

// nonceStore is a host's store that supports verifiable credentials.
type nonceStore struct{ *storage.MemoryStore }

func (nonceStore) NewNonce(context.Context, string, time.Time) (string, error) {
	return "nonce of the host", nil
}

func (nonceStore) IsNonceValid(_ context.Context, _ string, nonce string) error {
	if nonce != "nonce of the host" {
		return fosite.ErrNotFound
	}
	return nil
}

func TestVerifiableCredentials(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		own     bool // the host keeps its grants
		nonces  bool
		problem string
	}{
		"grants in the backend":             {nonces: true},
		"grants in the host's store":        {own: true, nonces: true},
		"backend, store without nonces":     {problem: "server_error"},
		"own grants, a store without those": {own: true, problem: "server_error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var keeper verifiable.NonceManager
			h := newHost(t, func(h *host, c *fositestore.Config) {
				h.add("app", func(client *fosite.DefaultClient) {
					client.Scopes = append([]string{credentialScope}, client.Scopes...)
				})
				var hosts interface {
					fositestore.OwnStore
					fosite.Storage
				} = h.memory
				if test.nonces {
					hosts = nonceStore{h.memory}
				}
				c.Store = hosts
				h.compose = func(config *fosite.Config, store *fositestore.Store) fosite.OAuth2Provider {
					var grants any = store
					if test.own {
						grants = h.sessions.Wrap(hosts)
					}
					keeper, _ = grants.(verifiable.NonceManager)
					provider := compose.ComposeAllEnabled(config, grants, signingKey())
					made := compose.OIDCUserinfoVerifiableCredentialFactory(config, grants, nil)
					handler, _ := made.(fosite.TokenEndpointHandler)
					config.TokenEndpointHandlers.Append(handler)
					return provider
				}
			})
			r := h.exchange(h.browser().signIn("ann").code("scope", "openid "+credentialScope))
			if test.problem != "" {
				r.must(t, http.StatusInternalServerError, test.problem)
				return
			}
			r.must(t, http.StatusOK, "")
			err := keeper.IsNonceValid(t.Context(), r.str("access_token"), r.str("c_nonce_draft_00"))
			if err != nil {
				t.Errorf("want the nonce of the host's store, got %s, %v", r.body, err)
			}
		})
	}
}
