// Package plugintest runs the conformance suites of all stores against a backend through a real gRPC
// connection, as a host would use it. It finds what is lost at the process boundary, such as the identity of
// an error, the precision of a value or the bound of an answer.
package plugintest
