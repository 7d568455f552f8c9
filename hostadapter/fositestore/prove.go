package fositestore

// Refresh tokens that may have been read from a copy: what is granted for one depends on what the store says.

import (
	"context"
	"slices"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
)

// toConsume returns a context in which a refresh token may be read from a copy: that of a refresh with the
// Provider, whose NewAccessResponse has the store judge it. Without the Provider nothing need be written for
// the tokens of a handler of the host's own.
func toConsume(ctx context.Context) context.Context {
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if ctx.Value(carrierKey{}) == nil || !ok || request == nil ||
		!request.GetGrantTypes().ExactOne("refresh_token") {
		return ctx
	}
	return grantstore.ToConsume(ctx)
}

// toProve remembers a refresh token that was read to be consumed (grantstore.ToConsume): a copy of it is not
// told of its use and its revocation. It is called once for each: after that the carrier answers (Store.get).
func (c *carrier) toProve(r *row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unproved = append(c.unproved, r)
}

// prove has the store judge those tokens along with what is granted for them. Where the batch consumes one,
// as that of fosite's handler does, the store does so anyway. A handler of the host's own need not use its
// tokens up: then the batch needs the token to be as it was read. A batch that only revokes needs nothing.
func (c *carrier) prove(batch *grantstore.Batch) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(batch.Store) == 0 && len(batch.Delete)+len(batch.Revoke) > 0 {
		return
	}
	for _, r := range c.unproved {
		if !proves(batch, r) {
			batch.Seen = append(batch.Seen, grantstore.PreconditionOf(r.grant))
		}
	}
}

// proved notes that a batch was applied.
func (c *carrier) proved(batch *grantstore.Batch) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unproved = slices.DeleteFunc(c.unproved, func(r *row) bool { return proves(batch, r) })
}

func proves(batch *grantstore.Batch, r *row) bool {
	return batch.Consume != nil && batch.Consume.Ref == r.grant.Ref ||
		slices.ContainsFunc(batch.Seen, func(seen grantstore.Precondition) bool {
			return seen.Ref == r.grant.Ref
		})
}
