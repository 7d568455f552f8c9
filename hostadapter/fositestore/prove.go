package fositestore

// Refresh tokens that may have been read from a stale copy are checked by the store before anything is
// granted.

import (
	"context"
	"slices"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
)

// toConsume returns a context that allows a refresh token to be read from a copy. That is safe only in a
// refresh through the Provider, whose NewAccessResponse makes the store check the token. Without the
// Provider, a host's own handler might write nothing, and the token would not be checked.
func toConsume(ctx context.Context) context.Context {
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if ctx.Value(carrierKey{}) == nil || !ok || request == nil ||
		!request.GetGrantTypes().ExactOne("refresh_token") {
		return ctx
	}
	return grantstore.ToConsume(ctx)
}

// addUnproved records a refresh token read to be consumed (grantstore.ToConsume): its copy is not invalidated
// by its use and revocation. Each token is recorded once, because later reads come from the carrier
// (Store.get).
func (c *carrier) addUnproved(r *row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unproved = append(c.unproved, r)
}

// prove makes the batch depend on those tokens. A batch that consumes the token, as fosite's handler does,
// needs no precondition. A host's own handler may not consume its token: then the batch requires the token to
// be unchanged since it was read. A batch that only deletes or revokes needs no check.
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

// proved removes the tokens that an applied batch has checked.
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
