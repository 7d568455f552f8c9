// Package granttest is the conformance suite of grantstore.Store: what a grant is worth, as judged by its session, and what a batch does
// as a whole or not at all.
//
// Backends may be slow: cases run in parallel, each on an empty backend of its own.
package granttest
