// Package logout ends sessions and notifies their clients.
//
// Its Store replaces a session by an ended record and queues a notification for each client to be notified,
// in one transaction, for every way a session ends: sign-out, removal, expiry, replacement (rule 1). Its
// Dispatcher claims notifications and delivers them by OpenID Connect Back-Channel Logout 1.0 until each
// client has answered or the retry window has closed (rule 7). A notification is the record; a delivery is
// one attempt.
//
// The Store may be in a separate process; the Dispatcher runs in the host, which has the signing key and
// network access.
//
// The package imports the standard library, ticketstore and grantstore only.
package logout
