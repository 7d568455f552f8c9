// Package ticketstore defines sessions of signed-in users and the Store that keeps them.
//
// A session starts when a user signs in, and has two identifiers. SessionID is public: it is the sid claim of
// ID tokens and logout tokens, and is not a credential. Key is the SHA-256 of the secret in the user's
// cookie; the secret itself never reaches a store.
//
// A Store creates, renews and reads sessions. It has no delete: a session ends through logout.Store, which
// replaces it by an ended record and queues the notifications of its clients in one transaction (rule 1).
//
// The package also holds what the three stores (tickets, grants, logout) share: sentinel errors, size limits,
// and the results tokens that page through listings. It imports the standard library only.
package ticketstore
