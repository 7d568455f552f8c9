package plugin

// The handshake, protocol version and environment variables shared by host and plugin.

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
)

// FailingBackend is a sessions.Backend that can fail permanently, for example after a failed sync, when its
// memory may differ from what is on disk (rule 11). Once it has failed, every call returns
// ticketstore.ErrUnavailable. Serve then exits with status 3, and the host starts a new process, which serves
// what is on disk.
type FailingBackend interface {
	sessions.Backend
	// Failed is closed when the backend has failed.
	Failed() <-chan struct{}
	// Failure returns why the backend failed, or nil if it has not. The error is written to the operator's
	// log.
	Failure() error
}

// ProtocolVersion is the plugin protocol version of this package. Plugins of other versions are refused at
// startup. Version 2: messages carry the records of plugin/proto/sessions/records/v1.
const ProtocolVersion = 2

// handshake identifies our plugins to go-plugin. The cookie is not a secret.
var handshake = goplugin.HandshakeConfig{
	MagicCookieKey:   "FOSITE_SESSIONS_PLUGIN",
	MagicCookieValue: "5b0cf8f6-9a5e-4e6c-8a4b-1f6d2f6f5c3e",
}

// Environment variables that the host sets for the plugin, besides go-plugin's own.
const (
	// lifelineEnv is set to lifelineStdin if the host holds the write end of the plugin's standard input. EOF
	// then means that the host has exited.
	lifelineEnv   = "FOSITE_SESSIONS_LIFELINE"
	lifelineStdin = "stdin"
	// levelEnv is the minimum log level that the host wants.
	levelEnv = "FOSITE_SESSIONS_LOG_LEVEL"
)

// serviceSet is the name of our only go-plugin "plugin", which is all services.
const serviceSet = "sessions"

// grpcPlugin registers our services with go-plugin on both sides.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	server *rpc.Server // nil in the host
}

var _ goplugin.GRPCPlugin = (*grpcPlugin)(nil)

// GRPCServer registers the services.
func (g *grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	g.server.Register(server)
	return nil
}

// GRPCClient returns the connection, which our own clients share.
func (g *grpcPlugin) GRPCClient(
	_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn,
) (any, error) {
	return conn, nil
}

// versions returns the supported protocol versions.
func versions(g *grpcPlugin) map[int]goplugin.PluginSet {
	return map[int]goplugin.PluginSet{ProtocolVersion: {serviceSet: g}}
}
