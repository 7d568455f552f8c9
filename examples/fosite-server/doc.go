// Command fosite-server is a complete OpenID provider on fosite with server-side sessions: sign-in and
// consent pages, all OAuth 2.0 and OpenID Connect endpoints that a relying party needs, the admin routes, and
// two demo clients that receive Back-Channel Logout when their user's session ends.
//
// The code that session management needs is in sessions.go. The rest is an ordinary fosite server.
package main
