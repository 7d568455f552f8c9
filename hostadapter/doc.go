// Package hostadapter manages the sessions of a server's users on top of a Backend that stores them.
//
// An Adapter signs users in with a cookie, finds their session on each request, signs them out, ends sessions
// that fall due, and delivers the notifications of clients. SessionManagement lets operators query and remove
// sessions.
//
// The Backend only stores data. Cookies, sealing keys, signing keys, timers and HTTP to clients are in the
// host. A cookie holds 256 random bits, of which the backend sees the SHA-256: it cannot forge a cookie. A
// user's properties are sealed (XChaCha20-Poly1305) before the backend gets them.
//
// The package depends on net/http, but neither on fosite nor on how a backend is reached. Package fositestore
// attaches it to fosite; package admin has the routes for operators.
package hostadapter
