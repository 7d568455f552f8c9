// Package world is what the parts of the conformance suite have in common: a World made of an empty backend
// and a clock that only the case moves, with helpers that let a case read like the sentence it holds a
// backend to.
package world
