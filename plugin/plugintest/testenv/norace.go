//go:build !race

package testenv

// Race is whether the race detector is on.
const Race = false
