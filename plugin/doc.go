// Package plugin runs a session backend in a separate process, using hashicorp/go-plugin and gRPC: Serve in
// the plugin, Open in the host.
//
// The plugin stores, the host acts: a plugin stores sessions, grants and the queue of logout notifications,
// and needs neither network nor keys. The Client that Open returns is a sessions.Backend: a
// ticketstore.Store, a grantstore.Store and a logout.Store. errors.Is works on their errors across the
// process boundary (rule 4).
//
// The protocol in plugin/proto is public, so plugins can be written in any language. Package plugintest runs
// the conformance suites against a backend through a real gRPC connection.
//
// # Trust
//
// The host starts the binary at Config.Path and, if Config.Checksum is set, only if its SHA-256 matches. The
// connection is a unix socket in a folder of mode 0700 with mutual TLS; each side creates its certificate for
// this process. The plugin does not inherit the host's environment. The host validates every answer and
// bounds every call.
//
// # Lifetime
//
// A plugin exits when its host closes the Client, on SIGTERM, and when its host dies; in each case it closes
// its database first. A plugin that dies is restarted, and calls wait for the new process up to their
// timeouts (rule 11).
package plugin
