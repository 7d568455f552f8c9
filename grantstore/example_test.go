package grantstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// exchange uses a code for an access token and a refresh token. Both take subject, session, client and family
// from the code.
func exchange(
	ctx context.Context, store grantstore.Store, code, access, refresh, operationID string, now time.Time,
) error {
	_, err := store.Apply(ctx, &grantstore.Batch{
		OperationID: operationID, // the same again after a lost answer: nothing is applied twice
		Consume:     &grantstore.Consumption{Ref: ref(grantstore.AuthorizationCode, code)},
		Store: []grantstore.Grant{
			{Ref: ref(grantstore.ReferenceToken, access), Created: now, Expires: now.Add(time.Hour)},
			{Ref: ref(grantstore.RefreshToken, refresh), Created: now},
		},
	}, now)
	switch {
	// stolen or repeated: the store has revoked what was issued for the code
	case errors.Is(err, grantstore.ErrConsumed):
		return errors.New("invalid_grant: the code was used before")
	case errors.Is(err, grantstore.ErrSessionEnded), errors.Is(err, ticketstore.ErrNotFound):
		return errors.New("invalid_grant")
	}
	return err // ticketstore.ErrUnavailable says nothing of the code: answer 503
}

func ref(t grantstore.Type, handle string) grantstore.Ref {
	return grantstore.Ref{Type: t, Key: ticketstore.KeyOf(handle)}
}

// A code exchange is one batch: the code is used and its tokens stored, or neither.
func Example() {
	var store grantstore.Store // plugin.Open(...).Grants()
	if store != nil {
		_ = exchange(context.Background(), store, "code", "access", "refresh",
			"0f1e2d3c4b5a69788796a5b4c3d2e1f0", time.Now())
	}

	batch := grantstore.Batch{
		OperationID: "0f1e", Consume: &grantstore.Consumption{Ref: ref(grantstore.ReferenceToken, "access")},
	}
	fmt.Println(batch.Validate())
	fmt.Println(batch.Consume.Key)
	// Output:
	// invalid consume: names a grant that is neither a code nor a refresh token
	// [redacted]
}
