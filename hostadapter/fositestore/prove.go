package fositestore

// Refresh tokens that may have been read from a copy: what is granted for one depends on what the store says.

import (
	"context"
	"slices"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
)

// isRefresh reports whether the call is within a token request that a handler refreshes.
func isRefresh(ctx context.Context) bool {
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	return ok && request != nil && request.GetGrantTypes().ExactOne("refresh_token")
}

// toProve remembers a refresh token that was read to be consumed (grantstore.ToConsume): a copy of it is not
// told of its use and its revocation.
func (c *carrier) toProve(r *row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unproved = r
}

// prove has the store judge that token along with what is granted for it. Where the batch consumes it, as
// that of fosite's handler does, the store does so anyway. A handler of the host's own need not use its
// tokens up: then the batch needs the token to be as it was read. A batch that only revokes needs nothing.
func (c *carrier) prove(batch *grantstore.Batch) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	revokes := len(batch.Store) == 0 && len(batch.Delete)+len(batch.Revoke) > 0
	if c.unproved == nil || revokes || c.proves(batch) {
		return
	}
	batch.Seen = append(batch.Seen, grantstore.PreconditionOf(c.unproved.grant))
}

// proved notes that a batch was applied.
func (c *carrier) proved(batch *grantstore.Batch) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unproved != nil && c.proves(batch) {
		c.unproved = nil
	}
}

// proves must be called with the lock held.
func (c *carrier) proves(batch *grantstore.Batch) bool {
	ref := c.unproved.grant.Ref
	return batch.Consume != nil && batch.Consume.Ref == ref ||
		slices.ContainsFunc(batch.Seen, func(seen grantstore.Precondition) bool { return seen.Ref == ref })
}
