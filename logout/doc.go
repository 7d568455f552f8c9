// Package logout ends sessions and tells their clients.
//
// Its Store replaces a session by an ended record and queues one notice for each client that must be told, in
// one transaction, for every way a session ends: sign-out, removal, expiry, replacement. Its Dispatcher takes
// the notices from the queue and sends them by OpenID Connect Back-Channel Logout 1.0 until each client has
// answered or the retry window has closed.
//
// The Store may live in another process; the Dispatcher runs in the host, which holds the signing key and the
// network.
//
// The package imports the standard library, ticketstore and grantstore only.
package logout
