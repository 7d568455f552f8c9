// Package account lets users see where they are signed in, and sign out there: on one device, or on all but
// the current one. It also lists what they have allowed applications, and takes that back.
//
// A host mounts one handler, below the session middleware, at a path of its choice that ends in a slash:
//
//	router.PathPrefix("/account/sessions/").Handler(account.Handler(account.Config{Sessions: sm.Adapter}))
//
// It answers with a plain page, with one in the host's own look (Config.Page), or, where a request asks for
// it, with JSON. Changes need a POST from the same site with the token of a page that was made for the
// session: no other site can send one.
package account
