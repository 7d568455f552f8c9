//go:build !race

package integration

// raced: the race detector is off.
const raced = false
