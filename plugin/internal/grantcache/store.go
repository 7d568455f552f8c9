package grantcache

// Store: grants, of which live access tokens are answered from the cache.

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

// Get implements grantstore.Store. Only access tokens are cached: codes and refresh tokens are used once, and
// nothing else is asked for often.
func (s *Store) Get(
	ctx context.Context, ref grantstore.Ref, now time.Time,
) (*grantstore.GetResult, error) {
	cache := s.Cache()
	if cache == nil || ref.Type != grantstore.ReferenceToken || ctx.Err() != nil {
		return s.Store.Get(ctx, ref, now)
	}
	if found := cache.get(ref.Key, now); found != nil {
		return found, nil
	}
	reading := cache.begin() // before the question is on its way
	found, err := s.Store.Get(ctx, ref, now)
	if err != nil {
		return found, err
	}
	return reading.fill(found), nil
}
