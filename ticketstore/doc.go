// Package ticketstore is the record of signed-in users: what a session is, how it is found, and the Store
// that keeps it.
//
// A session starts when a user signs in and is known by two names. Its SessionID is public: it is the sid
// claim of ID tokens and logout tokens, and knowing it gives nobody any power. Its Key is the SHA-256 of the
// secret in the user's cookie: the secret itself never reaches a store.
//
// A Store creates, renews and reads sessions. It has no delete: a session ends through logout.Store, which
// replaces it by an ended record and queues the notices to its clients in one transaction.
//
// The package also holds what all three stores (tickets, grants, logout) share: the sentinel errors, the
// limits on sizes, and the results tokens that page through listings. It imports the standard library only.
package ticketstore
