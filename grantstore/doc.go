// Package grantstore keeps what an authorization server has granted: codes, tokens, consents and the few
// other records that the OAuth 2.0 and OpenID Connect flows need between two requests.
//
// A grant is bound to the session it was made in. Every read and write judges, in the same snapshot, whether
// it is live, by the record of that session (rule 2): a grant can be dead while its row is still there.
// Changes go in a Batch, which applies as a whole or not at all and may be repeated safely by its operation
// id.
//
// The package imports the standard library and ticketstore only.
package grantstore
