// Package hostadapter manages the sessions of a server's users over a Backend that keeps them.
//
// An Adapter signs users in with a cookie, finds their session on each request, signs them out, ends sessions
// that fall due, and sends the notifications of clients. It also gives operators what they need to look at
// sessions and to remove them (SessionManagement).
//
// The Backend keeps data only. Cookies, sealing keys, signing keys, timers and HTTP to clients are here, in
// the host. A cookie holds 256 random bits, and the backend sees their SHA-256: it cannot make itself a
// cookie. A user's properties are sealed (XChaCha20-Poly1305) before the backend gets them.
//
// The package knows net/http, neither fosite nor how a backend is reached. Package fositestore joins it to
// fosite, package admin has the operator's routes.
package hostadapter
