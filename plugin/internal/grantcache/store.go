package grantcache

// Store: a grantstore.Store whose live tokens are served from the cache.

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
)

// Store is a grantstore.Store behind a cache.
type Store struct {
	grantstore.Store
	// Cache returns the cache of the current process, or nil if there is none.
	Cache func() *Cache
}

// isCopied reports whether tokens of a type are cached. Codes are used once, on any host, and no other type
// is read often.
func isCopied(t grantstore.Type) bool {
	return t == grantstore.ReferenceToken || t == grantstore.RefreshToken
}

// Get implements grantstore.Store. A copy of a refresh token answers only reads that are about to consume it,
// because kills do not name used tokens. A refresh token that is read is not cached: it is consumed next.
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
	reading := cache.begin() // before the read is sent
	found, err := s.Store.Get(ctx, ref, now)
	if err != nil {
		return found, err
	}
	return reading.fill(found), nil
}

// Apply implements grantstore.Store. It caches the stored tokens: the refresh token is read by the next
// refresh, the access token by its first introspection. Their data must not be changed afterwards.
func (s *Store) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	cache := s.Cache()
	if cache == nil {
		return s.Store.Apply(ctx, batch, now)
	}
	writing := cache.begin() // before the batch is sent
	result, err := s.Store.Apply(ctx, batch, now)
	if batch.Consume != nil && batch.Consume.Type == grantstore.RefreshToken {
		cache.forget(batch.Consume.Ref) // used or dead, or the plugin must be asked again
	}
	if err == nil {
		writing.stored(batch, result.Session)
	}
	return result, err
}
