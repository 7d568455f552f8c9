// Package moves has the cases of transfer.Store: that everything moves under changes, that the fence holds,
// and that an interrupted move leaves nothing behind.
package moves
