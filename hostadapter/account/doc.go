// Package account lets users see where they are signed in, and sign out on one device or on all other
// devices. It also lists the applications to which they have consented, and revokes consents together with
// the applications' tokens (hostadapter.Consents.Revoke). Tokens that a server keeps in its own store
// (fositestore.Sessions.Wrap) are not revoked.
//
// A host mounts one handler, behind the session middleware, at a path of its choice that ends in a slash:
//
//	router.PathPrefix("/account/sessions/").Handler(account.Handler(account.Config{Sessions: sm.Adapter}))
//
// It responds with a built-in page, with a page in the host's design (Config.Page), or with JSON if the
// request asks for it. Changes require a POST from the same site with the token of a page that was made for
// the session: no other site can send one.
package account
