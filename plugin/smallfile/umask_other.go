//go:build !unix

package smallfile

// RestrictUmask does nothing where files have no modes.
func RestrictUmask() {}
