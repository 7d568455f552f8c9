// Package fositestore connects the sessions of package hostadapter to a server built on
// github.com/ory/fosite. It is the only package of this project that imports fosite.
//
// Attach returns the Sessions of a server. Pass their Store to fosite's compose in place of the host's store:
// it keeps codes, tokens and the records between two requests, each bound to the session in which it was
// granted, and ends them with that session. The host's own store keeps serving clients, users and keys. The
// Provider decorates the provider that compose returns: it binds grants to the user's session, and reports
// store errors that fosite would hide.
//
// JWT access tokens that resource servers verify offline stay valid until their exp, whatever happens to the
// session. Introspected tokens end with the session.
package fositestore
