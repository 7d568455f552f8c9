// Package admin serves HTTP routes for operators: sessions, grants, notifications of clients and the backend.
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
// Requests and responses are JSON in snake case, times RFC 3339 in UTC; unknown values are absent. Errors are
// problem details (RFC 9457) that name the invalid field in "field". Unknown query parameters and JSON fields
// are refused, so that a misspelled condition never selects everything.
//
// The page works without scripts, loads nothing from other origins and runs under a strict
// Content-Security-Policy. If the Authorizer returns a *SignInError, the browser is redirected to the
// operators' sign-in page; an Actor's SignOut adds a sign-out button.
//
// Each request is passed to the Authorizer with the permission it requires, ReadSessions or ChangeSessions.
// Every change and every refused attempt is one audit record (Config.Audit, else the log): who, what, why,
// from where, and the result. The response has the record's request id in X-Request-Id. Of unauthenticated
// requests, the first in each minute get a record each; the others are counted in one record ("more_refused")
// before the next request after that minute.
//
// Guesses are throttled by address, see ErrUnauthenticated. A host behind a proxy must set
// hostadapter.Config.RemoteAddr: otherwise all requests have the proxy's address, and one client's guesses
// also block the right secret.
package admin
