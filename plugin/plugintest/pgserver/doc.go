// Package pgserver starts PostgreSQL servers for tests: private ones, with a folder, a port and processes of
// their own, that sync what they commit and leave nothing behind. They run Debian's binaries, or those on the
// path. Where there are none, a test is skipped; with CI set it fails.
//
// A package whose tests share a server has
//
//	func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }
//
// and each test takes a schema of its own with Shared(t).Schema(t). A test that stops or kills its server
// takes one with Start, one of failover a cluster with StartCluster (Linux), a program that measures one with
// New.
package pgserver
