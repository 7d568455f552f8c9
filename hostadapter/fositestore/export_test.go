package fositestore

import (
	"context"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// SignerAndHints are what Attach makes of Config.Key.
func SignerAndHints(key func(context.Context) (any, error), keyID, issuer string) (logout.Signer, hostadapter.IDTokenHints) {
	keys := &signingKeys{get: key, keyID: keyID}
	return keys, &idTokenHints{keys: keys, clients: knownClients(), issuer: issuer}
}

// Hints are what Attach makes of Config.Key and Config.FormerKeys.
func Hints(key func(context.Context) (any, error), former func(context.Context) ([]any, error), issuer string) hostadapter.IDTokenHints {
	return &idTokenHints{keys: &signingKeys{get: key}, former: former, clients: knownClients(), issuer: issuer}
}

// knownClients knows app and other.
func knownClients() fosite.ClientManager {
	store := storage.NewMemoryStore()
	for _, id := range []string{"app", "other"} {
		store.Clients[id] = &fosite.DefaultClient{ID: id}
	}
	return store
}
