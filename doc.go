// Package sessions is the root of a module that manages the sessions of OAuth 2.0 and OpenID Connect servers
// built on github.com/ory/fosite: it records which users are signed in, answers queries over their sessions,
// and ends sessions together with their tokens and consents, notifying their clients.
//
// The package defines Backend, the interface of a storage backend, and Measured, the optional interface of a
// backend that reports metrics. Start with these packages:
//
//   - hostadapter/fositestore attaches sessions to a server (Attach).
//   - hostadapter signs users in and out and ends sessions; hostadapter/admin and hostadapter/account serve
//     pages and routes for operators and for users.
//   - plugin runs a backend in a separate process (Open, Serve); plugin/memory is an in-memory backend.
//   - ticketstore, grantstore and logout are the domain: the interfaces that a backend implements.
//
// ARCHITECTURE.md lists the rules that all of them follow.
package sessions
