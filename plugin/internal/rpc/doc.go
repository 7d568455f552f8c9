// Package rpc is both ends of the plugin protocol: the domain's stores as gRPC clients, and a gRPC server
// over an engine. There is one file a service, with its client above its server.
//
// The client does not trust the plugin. Every answer is checked: what was asked for is there, is whole, and
// is no more than was asked for. A broken answer is an error of its own, neither ErrNotFound nor
// ErrUnavailable.
package rpc
