//go:build race

package footprint

// raced: the race detector is on.
const raced = true
