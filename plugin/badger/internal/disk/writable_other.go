//go:build !linux

package disk

// Systems whose journal cannot be checked.

// WitnessOf returns "".
func WitnessOf(string) string { return "" }

// AskWitness does nothing.
func AskWitness(string) error { return nil }
