// Package admin has HTTP routes for operators: sessions, grants, notifications of clients and the backend.
//
//	GET    /sessions                        a page of sessions
//	GET    /sessions/{session_id}           one session, its clients, a summary of its grants
//	POST   /sessions/remove                 end sessions by subject_id, session_id or both, or all
//	DELETE /sessions/{session_id}           end one session and all that belongs to it
//	GET    /jobs/{id}                       the progress of a removal of many, or of a swap
//	GET    /grants                          a page of live grants
//	POST   /grants/remove                   remove grants that conditions select, or one by its id
//	GET    /logout/deliveries               a page of notifications to clients
//	POST   /logout/deliveries/{id}/retry    deliver a notification again
//	POST   /logout/deliveries/retry         deliver again those of a client, session or state
//	GET    /backend                         what the backend is, and how it is
//	POST   /backend/swap                    move to another backend while the server serves, as a job
//	DELETE /backend/swap/{job}              abort a swap before its switch
//	POST   /backend/backup                  a snapshot of the store, taken while it serves
//	GET    /openapi.json                    this contract, by OpenAPI 3.1
//	GET    /ui/                             the admin page; / redirects to it
//
// Requests and answers are JSON in snake case, times RFC 3339 in UTC; what is not known is absent. Errors are
// problem details (RFC 9457) that name the field at fault in "field". A query parameter or a JSON field that
// a route does not know is refused, so that a misspelled condition never selects everything.
//
// The page works without scripts, loads nothing from elsewhere and runs under a strict
// Content-Security-Policy. An Authorizer that returns a *SignInError has browsers sent to where operators
// sign in; an Actor's SignOut gives the page a button for the way out.
//
// Each request passes the Authorizer, with ReadSessions or ChangeSessions as the permission it needs. Every
// change and every refused attempt is one line of the audit (Config.Audit, else the log): who, what, why,
// from where, and the result. Its answer has the line's request id in X-Request-Id. Of requests that were not
// authenticated the first of a minute have a line each, and the others a line with their number
// ("more_refused") before the next request after that minute.
//
// Guesses are throttled by address, see ErrUnauthenticated. A host behind a proxy must set
// hostadapter.Config.RemoteAddr: without it all have the address of the proxy, and those who guess there keep
// the right secret waiting as well.
package admin
