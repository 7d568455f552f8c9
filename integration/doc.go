// Package integration holds the tests that need real processes: the built example server and storage plugins,
// relying parties built on a different library, and processes that are killed. It has no code besides tests.
package integration
