//go:build race

package testenv

// Race says that the race detector is on. What it cannot see, other processes above all, need not run with
// it.
const Race = true
