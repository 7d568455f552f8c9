package fositestore

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
func SignerAndHints(key func(context.Context) (any, error), keyID, issuer string) (logout.Signer, hostadapter.IDTokenHints) {
	keys := &signingKeys{get: key, keyID: keyID}
	return keys, &idTokenHints{keys: keys, clients: knownClients(), issuers: []string{issuer}}
}

// Hints are what Attach makes of Config.Key and Config.FormerKeys.
func Hints(key func(context.Context) (any, error), former func(context.Context) ([]any, error), issuer string) hostadapter.IDTokenHints {
	return &idTokenHints{keys: &signingKeys{get: key}, former: former, clients: knownClients(), issuers: []string{issuer}}
}

// SealedBefore returns the grant with its data sealed as releases before hostadapter.Config.UnboundUntil did.
func SealedBefore(t *testing.T, sessions *Sessions, g grantstore.Grant) grantstore.Grant {
	t.Helper()
	bound, former := bindingOf(&g), formerBindingOf(&g)
	data, err := sessions.Unseal(bound.Purpose, bound.ID, g.Data)
	if err == nil {
		g.Data, err = sessions.Seal(former.Purpose, former.ID, data)
	}
	if err != nil {
		t.Errorf("sealing a grant as before: %v", err)
	}
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
