// Package sessions is the root of a module that manages the sessions of OAuth 2.0 and OpenID Connect servers
// built on github.com/ory/fosite: it records who is signed in where, answers queries over that, and ends
// sessions with their tokens, consents and clients.
//
// The package has Backend, what keeps the data, and Measured, what a backend may measure of itself. Start at
// these packages:
//
//   - hostadapter/fositestore joins sessions to a server (Attach).
//   - hostadapter signs users in and out and ends sessions; hostadapter/admin and hostadapter/account have
//     pages and routes for operators and for users.
//   - plugin runs a backend as a process of its own (Open, Serve); plugin/memory is one in memory.
//   - ticketstore, grantstore and logout are the domain: what a backend implements.
//
// ARCHITECTURE.md has the rules that all of them keep.
package sessions
