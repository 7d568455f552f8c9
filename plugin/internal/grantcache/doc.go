// Package grantcache keeps copies of live tokens in the host, below the switch: one cache for each
// process of a backend (rule 15).
//
// Once an end, a revocation or a removal is acknowledged, no copy of what it killed answers any more:
//
//   - The plugin numbers the commits that kill, and streams them in order. Each answer says the position of
//     the last kill that it may have seen, and is handed on only when the cache has come that far (Await). So
//     what a removal has killed is gone from the cache before the removal is acknowledged.
//   - A read fills the cache unless a kill that was told since it began names it (call.fill): the read may
//     be of a moment before that kill.
//   - A write that has stored a token fills it by the same rule (call.stored). Its commit saw each kill that
//     was told before it began, or the token would not have been stored. A kill of the token that was
//     committed behind it is told since: before the fill, which is refused, or after it, which takes the copy
//     out. The answer to a repeated batch fills nothing: a kill behind its commit may have been told before
//     it was repeated.
//   - The cache belongs to one stream. Where that ends, is too slow or leaves a kill out, all copies go, by
//     the host's own decision. A new stream begins with none, and calls that began before fill nothing.
//   - A copy says what was live, never what is dead. It is judged by the clock at each hit; one that comes
//     out dead is asked for again, for its session may have slid.
//
// Copies of refresh tokens come by writes alone, and are not told of their use, nor of the revocation of
// their family: they answer who reads a token to consume it (grantstore.ToConsume), and Apply decides. The
// end of their session takes them along.
//
// model_test.go plays this against a store in random order, with each of these left out in turn.
//
//	cache.go   Cache: the stream, and waiting for it
//	copies.go  copies, their index by session and their bound, the last kills
//	store.go   Store: a grantstore.Store whose Get asks the cache first, and whose Apply fills it
package grantcache
