package grantstore

// ToConsume: a hint to caches that a read precedes a consumption.

import "context"

type toConsumeKey struct{}

// ToConsume returns a context for reading a refresh token that is about to be consumed. The reader grants
// nothing before Apply has validated the token by Batch.Consume or Batch.Seen, so Get may answer from a
// cached copy that is not invalidated when the token is used or revoked.
func ToConsume(ctx context.Context) context.Context {
	return context.WithValue(ctx, toConsumeKey{}, true)
}

// IsToConsume reports whether the context was made by ToConsume.
func IsToConsume(ctx context.Context) bool {
	to, _ := ctx.Value(toConsumeKey{}).(bool)
	return to
}
