//go:build !race

package footprint

// raced: the race detector is off.
const raced = false
