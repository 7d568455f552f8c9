package main

// One signing key for all servers of a store.

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// signingKeyProperty stores the id of the key that signs ID tokens, which is also in the JWKS, with a
	// suffix that makes each value unique.
	signingKeyProperty = "signing_key"
	// maxKeyClaims bounds the retries of servers that start concurrently.
	maxKeyClaims = 10
)

// errOtherSigningKey means that another server of the store signs with a different key.
var errOtherSigningKey = errors.New("other servers that have the store open sign with another key")

// checkSigningKey refuses a server's key id if other servers have the store open and sign with a different
// key: ID tokens of one would not verify with the JWKS of the other. The global secret does not cover the
// signing key. A server that is alone may have a new key, which is how a key is replaced: former is the id of
// the previous key. kept is the stored value.
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

// claimSigningKey stores the key id of a server unless checkSigningKey refuses it.
//
// Servers with different keys may start concurrently. Each is registered as a host of the store before it
// checks, and each writes a unique value, so that SetProperty fails if another server has written in between.
func claimSigningKey(ctx context.Context, store sessions.Backend, id string, logger *slog.Logger) error {
	for range maxKeyClaims {
		kept, former, err := checkSigningKey(ctx, store, id)
		if err != nil {
			return err
		}
		err = store.Properties().SetProperty(ctx, signingKeyProperty, kept, []byte(id+" "+rand.Text()))
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
