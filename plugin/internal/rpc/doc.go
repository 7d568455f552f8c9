// Package rpc is both ends of the plugin protocol: the domain's stores as gRPC clients, and a gRPC server
// over an engine. Each service has a file, with its client above its server.
//
// The client does not trust the plugin. It checks every answer: it is complete, it is for what was asked, and
// has no more than was asked for. A broken answer is an error of no known kind, neither ErrNotFound nor
// ErrUnavailable (rule 4).
package rpc
