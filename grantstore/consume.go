package grantstore

// What a reader says of its question, for who keeps copies.

import "context"

type toConsumeKey struct{}

// ToConsume returns a context in which a refresh token is read to be consumed. Its reader grants nothing
// before Apply has judged it, by Batch.Consume or Batch.Seen. So Get may answer from a copy that is not told
// of its use and its revocation.
func ToConsume(ctx context.Context) context.Context {
	return context.WithValue(ctx, toConsumeKey{}, true)
}

// IsToConsume reports whether the context is one of ToConsume.
func IsToConsume(ctx context.Context) bool {
	to, _ := ctx.Value(toConsumeKey{}).(bool)
	return to
}
