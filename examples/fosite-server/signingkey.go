package main

// One signing key among the servers of a store.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// signingKeyProperty keeps, in the store, the id of the key that signs ID tokens, which the JWKS has too,
	// and what makes each value another one.
	signingKeyProperty = "signing_key"
	// maxKeyClaims bounds how often servers that start together take the store from each other.
	maxKeyClaims = 10
)

// errOtherSigningKey means that another server of the store signs with another key.
var errOtherSigningKey = errors.New("other servers that have the store open sign with another key")

// checkSigningKey refuses the key id of a server where others have the store open and sign with another one:
// an ID token of one would not verify with the JWKS of the other. Global-secret does not cover it. A server
// that is alone may have a new key, which is how one is replaced: former is the id of the one before. kept is
// what the store has.
func checkSigningKey(
	ctx context.Context, store sessions.Backend, id string,
) (kept []byte, former string, err error) {
	if kept, err = store.Properties().Property(ctx, signingKeyProperty); err != nil {
		return nil, "", err
	}
	if former, _, _ = strings.Cut(string(kept), " "); former == "" || former == id {
		return kept, "", nil
	}
	description, err := store.Describe(ctx)
	if err == nil && len(description.Hosts) > 1 {
		err = fmt.Errorf("%w: its id is %s, and this server's is %s", errOtherSigningKey, former, id)
	}
	return kept, former, err
}

// claimSigningKey has the store keep the key id of a server that checkSigningKey does not refuse.
//
// Servers with different keys may start together. Each is among the hosts of the store before it looks, and
// each writes a value of its own, so that SetProperty fails where another one has come in between.
func claimSigningKey(ctx context.Context, store sessions.Backend, id string, logger *slog.Logger) error {
	for range maxKeyClaims {
		kept, former, err := checkSigningKey(ctx, store, id)
		if err != nil {
			return err
		}
		err = store.Properties().SetProperty(ctx, signingKeyProperty, kept, []byte(id+" "+randomID()))
		if err == nil && former != "" {
			logger.WarnContext(ctx, "the signing key was replaced: ID tokens of the former one do not "+
				"verify any more", "former", former, "key", id)
		}
		if !errors.Is(err, ticketstore.ErrConflict) {
			return err
		}
	}
	return errors.New("servers that start together change the signing key again and again")
}
