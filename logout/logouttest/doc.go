// Package logouttest is the conformance suite of logout.Store: what ends with a session, who is told of it, and how the queue of notices
// hands them out.
//
// Backends may be slow: cases run in parallel, each on an empty backend of its own.
package logouttest
