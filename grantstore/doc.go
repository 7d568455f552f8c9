// Package grantstore keeps what an authorization server has granted: codes, tokens, consents and the few
// other records that the OAuth 2.0 and OpenID Connect flows need between two requests.
//
// A grant is bound to the session it was made in. Whether it is live is judged at every read and write, in
// the same snapshot, by the record of that session: its rows need not be gone for it to be dead. Changes go
// in a Batch, which applies as a whole or not at all and may be repeated safely by its operation id.
//
// The package imports the standard library and ticketstore only.
package grantstore
