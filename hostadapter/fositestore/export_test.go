package fositestore

// What the external tests need of the package.

import (
	"context"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// SignerAndHints are what Attach makes of Config.Key.
func SignerAndHints(
	key func(context.Context) (any, error), keyID, issuer string,
) (logout.Signer, hostadapter.IDTokenHints) {
	keys := &signingKeys{get: key, keyID: keyID}
	return keys, &idTokenHints{keys: keys, clients: knownClients(), issuers: []string{issuer}}
}

// Hints are what Attach makes of Config.Key and Config.FormerKeys.
func Hints(
	key func(context.Context) (any, error), former func(context.Context) ([]any, error), issuer string,
) hostadapter.IDTokenHints {
	return &idTokenHints{
		keys: &signingKeys{get: key}, former: former, clients: knownClients(), issuers: []string{issuer},
	}
}

// LogoutClient returns a client as the server finds it.
func LogoutClient(ctx context.Context, sessions *Sessions, id string) (*logout.Client, error) {
	return sessions.store.clients.LogoutClient(ctx, id)
}

// SealedBefore returns the grant with its data sealed as releases before hostadapter.Config.UnboundUntil did.
func SealedBefore(t *testing.T, sessions *Sessions, g grantstore.Grant) grantstore.Grant {
	t.Helper()
	data, err := sessions.Tie().Unseal(bindingOf(&g), g.Data)
	if err != nil {
		t.Errorf("sealing a grant as before: %v", err)
	}
	g.Data = sessions.Tie().Seal(formerBindingOf(&g), data)
	return g
}

// knownClients knows app and other.
func knownClients() fosite.ClientManager {
	store := storage.NewMemoryStore()
	for _, id := range []string{"app", "other"} {
		store.Clients[id] = &fosite.DefaultClient{ID: id}
	}
	return store
}
