//go:build !unix

package smallfile

// RestrictUmask does nothing: files have no modes.
func RestrictUmask() {}
