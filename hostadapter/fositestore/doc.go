// Package fositestore joins the sessions of package hostadapter to a server built on github.com/ory/fosite.
// It is the only package of this project that imports fosite.
//
// Attach returns the Sessions of a server. Its Store goes into fosite's compose in place of the host's: it
// keeps codes, tokens and the records between two requests, each bound to the session that it was granted in,
// and ends them with it. The host's own store keeps serving clients, users and keys. Its Provider decorates
// what compose returns: it binds what users grant to their session, and answers what the stores said rather
// than what fosite makes of it.
//
// JWT access tokens that resource servers check by themselves stay valid until their exp, whatever happens to
// the session; those that are introspected do not.
package fositestore
