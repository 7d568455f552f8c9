// Package plugintest runs the conformance suites of all stores against a backend through a real gRPC
// connection, as a host would use it. A backend that passes in process and fails here does not survive the
// process boundary: an error loses its identity, a value its precision, an answer its bounds.
package plugintest
