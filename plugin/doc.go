// Package plugin runs a session backend in a process of its own, by hashicorp/go-plugin and gRPC: Serve in
// the plugin, Open in the host.
//
// The plugin keeps, the host acts: a plugin stores sessions, grants and the queue of logout notifications,
// and needs neither network nor keys. The Client that Open returns is itself a sessions.Backend: a
// ticketstore.Store, a grantstore.Store and a logout.Store. errors.Is holds for their errors across the
// process boundary (rule 4).
//
// The protocol is public, in plugin/proto, so that a plugin may be written in any language. plugintest runs
// the conformance suites against a backend through a real gRPC connection.
//
// # Trust
//
// The host starts the binary that Config.Path names and, with Config.Checksum, only if its SHA-256 is the
// given one. The connection is a unix socket in a folder of mode 0700 with mutual TLS, each side with a
// certificate made for this process. The plugin inherits none of the host's environment. The host checks each
// of its answers, and bounds each call.
//
// # Life
//
// A plugin ends when its host closes the Client, on SIGTERM, and when its host dies in any way; each time it
// closes its database first. A plugin that dies is restarted, while calls wait within their bounds (rule 11).
package plugin
