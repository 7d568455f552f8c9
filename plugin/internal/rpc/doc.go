// Package rpc implements both ends of the plugin protocol: gRPC clients that implement the domain's stores,
// and a gRPC server over an engine. Each service has one file, with its client above its server.
//
// The client does not trust the plugin. It checks that every answer is complete, matches the request and has
// no more than was requested. A broken answer is an error of no known kind, neither ErrNotFound nor
// ErrUnavailable (rule 4).
package rpc
