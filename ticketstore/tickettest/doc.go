// Package tickettest is the conformance suite of ticketstore.Store. A backend is right when Run passes, together with granttest.Run and
// logouttest.Run: what the three stores promise of each other is held by all of them.
//
// Backends may be slow: cases run in parallel, each on an empty backend of its own.
package tickettest
