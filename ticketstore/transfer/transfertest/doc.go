// Package transfertest is the conformance suite of transfer.Store: that everything moves, whatever changes meanwhile, that the fence
// holds, and that a move which ends early leaves nothing behind.
//
// Backends may be slow: cases run in parallel, each on empty backends of its own.
package transfertest
