// Package moves holds the cases of transfer.Store: that everything moves, whatever changes meanwhile, that
// the fence holds, and that a move which ends early leaves nothing behind.
package moves
