// Command fosite-server is a whole OpenID provider on fosite with server-side sessions: sign-in and consent
// pages, every OAuth 2.0 and OpenID Connect endpoint that a relying party needs, the admin routes, and two
// demo clients that learn by Back-Channel Logout that their user's session is over.
//
// What a server of your own needs of it is in sessions.go. The rest is the server that most readers already
// have.
package main
