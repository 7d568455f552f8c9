// Package grantstore stores what an authorization server has granted: codes, tokens, consents and the few
// other records that the OAuth 2.0 and OpenID Connect flows need between two requests.
//
// A grant is bound to the session it was made in. Every read and write decides in the same snapshot whether
// the grant is live, by the record of that session (rule 2): a grant can be dead while its row still exists.
// Changes are made by a Batch, which is atomic, and idempotent by its operation id.
//
// The package imports the standard library and ticketstore only.
package grantstore
