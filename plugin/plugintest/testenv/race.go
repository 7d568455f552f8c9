//go:build race

package testenv

// Race is whether the race detector is on. Tests of what it cannot see, such as other processes, need not run
// with it.
const Race = true
