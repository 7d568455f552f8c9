// Package grantcache caches live tokens in the host, below the switch: one cache for each process of a
// backend (rule 15).
//
// Once an ending, a revocation or a removal is acknowledged, no copy of a token that it killed is served:
//
//   - The plugin numbers the commits that kill tokens and streams them in order. Each answer carries the
//     position of the last kill that it may have seen, and is returned only when the cache has applied that
//     kill (Await). So the copies are gone before a removal is acknowledged.
//   - A read fills the cache unless a kill streamed since the read began names its token (call.fill): the
//     read may have happened before that kill.
//   - A write that stored a token fills the cache by the same rule (call.stored). Its commit saw each kill
//     streamed before it began, or the token would not have been stored. A kill of the token committed
//     later is streamed later: before the fill, which is then refused, or after it, which then removes the
//     copy. The answer to a repeated batch fills nothing, because a kill after its commit may have been
//     streamed before it was repeated.
//   - The cache belongs to one stream. If the stream ends, is too slow or has a gap, the host drops all
//     copies by itself. A new stream begins with none, and calls that began before it fill nothing.
//   - A copy never answers that a token is dead. It is checked against the clock at each hit; if it has
//     expired, the plugin is asked again, because its session may have slid.
//
// Copies of refresh tokens come from writes only. Kills do not name their use or the revocation of their
// family, so they answer only reads of a token that is about to be consumed (grantstore.ToConsume), and Apply
// decides. The end of their session removes them.
//
// model_test.go checks this against a store in random order, and with each of these rules left out in turn.
//
//	cache.go   Cache: the stream, and waiting for it
//	copies.go  copies, their index by session and their bound, the last kills
//	store.go   Store: a grantstore.Store whose Get asks the cache first, and whose Apply fills it
package grantcache
