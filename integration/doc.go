// Package integration holds the tests that need real processes: the example server and the storage plugin as
// built binaries, relying parties built on another library, processes that are killed. It has no code besides
// tests.
package integration
