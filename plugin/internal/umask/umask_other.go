//go:build !unix

package umask

// KeepOthersOut does nothing where files have no modes.
func KeepOthersOut() {}
