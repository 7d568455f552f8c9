// Package world is the environment of the suite's cases: an empty backend, a clock that only the case moves,
// and helpers.
package world
