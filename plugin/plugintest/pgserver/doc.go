// Package pgserver starts private PostgreSQL servers for tests, with their own folder, port and processes,
// which sync commits and leave nothing behind. They run Debian's binaries, or those on the path. Without
// these a test is skipped; with CI set it fails.
//
// A package whose tests share a server has
//
//	func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }
//
// and each test takes its own schema with Shared(t).Schema(t). A test that stops or kills its server uses
// Start, a failover test StartCluster (Linux), a program that measures a server New.
package pgserver
