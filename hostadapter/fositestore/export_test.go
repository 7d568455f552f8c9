package fositestore

import (
	"context"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
)

// SignerAndHints are what Attach makes of Config.Key.
func SignerAndHints(key func(context.Context) (any, error), keyID, issuer string) (logout.Signer, hostadapter.IDTokenHints) {
	keys := &signingKeys{get: key, keyID: keyID}
	return keys, &idTokenHints{keys: keys, issuer: issuer}
}
