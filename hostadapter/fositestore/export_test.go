package fositestore

// Access to internals for the external tests.

import (
	"context"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// SignerAndHints returns the signer and the verifier that Attach makes from Config.Key.
func SignerAndHints(
	key func(context.Context) (any, error), keyID, issuer string,
) (logout.Signer, hostadapter.IDTokenHints) {
	keys := &signingKeys{get: key, keyID: keyID}
	return keys, &idTokenHints{keys: keys, clients: knownClients(), issuers: []string{issuer}}
}

// Hints returns the verifier that Attach makes from Config.Key and Config.FormerKeys.
func Hints(
	key func(context.Context) (any, error), former func(context.Context) ([]any, error), issuer string,
) hostadapter.IDTokenHints {
	return &idTokenHints{
		keys: &signingKeys{get: key}, former: former, clients: knownClients(), issuers: []string{issuer},
	}
}

// LogoutClient returns a client as found by the server.
func LogoutClient(ctx context.Context, sessions *Sessions, id string) (*logout.Client, error) {
	return sessions.store.clients.LogoutClient(ctx, id)
}

// SealedBefore returns the grant with its data sealed as by releases before hostadapter.Config.UnboundUntil.
func SealedBefore(t *testing.T, sessions *Sessions, g grantstore.Grant) grantstore.Grant {
	t.Helper()
	data, err := sessions.Tie().Unseal(bindingOf(&g), g.Data)
	if err != nil {
		t.Errorf("sealing a grant as an earlier release: %v", err)
	}
	g.Data = sessions.Tie().Seal(formerBindingOf(&g), data)
	return g
}

// knownClients contains app and other.
func knownClients() fosite.ClientManager {
	store := storage.NewMemoryStore()
	for _, id := range []string{"app", "other"} {
		store.Clients[id] = &fosite.DefaultClient{ID: id}
	}
	return store
}
