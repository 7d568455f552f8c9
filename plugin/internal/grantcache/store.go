package grantcache

// Store: grants, of which live tokens are answered from the cache.

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
)

// Store is a grantstore.Store before which a cache stands.
type Store struct {
	grantstore.Store
	// Cache returns the cache of the process that serves now, nil for none.
	Cache func() *Cache
}

// isCopied reports whether there may be copies of a token of that type. Codes are used once, at any host, and
// nothing else is asked for often.
func isCopied(t grantstore.Type) bool {
	return t == grantstore.ReferenceToken || t == grantstore.RefreshToken
}

// Get implements grantstore.Store. A copy of a refresh token answers nobody but who reads it to consume it:
// kills do not name what was used. One that is read is used next, and gone: it is not kept.
func (s *Store) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	cache := s.Cache()
	toConsume := ref.Type == grantstore.RefreshToken && grantstore.IsToConsume(ctx)
	if cache == nil || ctx.Err() != nil || ref.Type != grantstore.ReferenceToken && !toConsume {
		return s.Store.Get(ctx, ref, now)
	}
	if found := cache.get(ref, now); found != nil {
		return found, nil
	}
	if toConsume {
		return s.Store.Get(ctx, ref, now)
	}
	reading := cache.begin() // before the question is on its way
	found, err := s.Store.Get(ctx, ref, now)
	if err != nil {
		return found, err
	}
	return reading.fill(found), nil
}

// Apply implements grantstore.Store. The tokens that it stores are kept: the refresh token is read by the
// next refresh, the access token by the first who asks for it. Their data must not change any more.
func (s *Store) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	cache := s.Cache()
	if cache == nil {
		return s.Store.Apply(ctx, batch, now)
	}
	writing := cache.begin() // before the batch is on its way
	result, err := s.Store.Apply(ctx, batch, now)
	if batch.Consume != nil && batch.Consume.Type == grantstore.RefreshToken {
		cache.forget(batch.Consume.Ref) // used, dead, or to be asked for again
	}
	if err == nil {
		writing.stored(batch, result.Session)
	}
	return result, err
}
