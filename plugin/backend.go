package plugin

// What both sides share: the protocol version, go-plugin's handshake, environment variables.

import (
	"context"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
)

// FailingBackend is a sessions.Backend that can fail permanently, such as after a failed sync: what it has in
// memory may differ from what is stored (rule 11). From then on each of its calls is
// ticketstore.ErrUnavailable. Serve ends the process of such a backend with status 3, and the host starts
// another, which reads what is stored.
type FailingBackend interface {
	sessions.Backend
	// Failed is closed when the backend has failed.
	Failed() <-chan struct{}
	// Failure is why the backend has failed, nil while it has not. It reaches the operator's log.
	Failure() error
}

// ProtocolVersion is the version of the plugin protocol that this package speaks. A plugin of another version
// is refused at its start. 2: the messages carry the records of plugin/proto/sessions/records/v1.
const ProtocolVersion = 2

// handshake identifies our plugins to go-plugin. The cookie is no secret.
var handshake = goplugin.HandshakeConfig{
	MagicCookieKey:   "FOSITE_SESSIONS_PLUGIN",
	MagicCookieValue: "5b0cf8f6-9a5e-4e6c-8a4b-1f6d2f6f5c3e",
}

// Environment variables that the host sets for the plugin, besides go-plugin's own.
const (
	// lifelineEnv is lifelineStdin where the host holds the other end of the plugin's standard input: its end
	// of file says that the host is gone.
	lifelineEnv   = "FOSITE_SESSIONS_LIFELINE"
	lifelineStdin = "stdin"
	// levelEnv is the lowest level of log lines that the host wants.
	levelEnv = "FOSITE_SESSIONS_LOG_LEVEL"
)

// serviceSet is the name of our only go-plugin "plugin", which is all services.
const serviceSet = "sessions"

// glue connects our services to go-plugin, on both sides.
type glue struct {
	goplugin.NetRPCUnsupportedPlugin
	server *rpc.Server // nil in the host
}

var _ goplugin.GRPCPlugin = (*glue)(nil)

// GRPCServer registers the services.
func (g *glue) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	g.server.Register(server)
	return nil
}

// GRPCClient returns the connection, which our own clients share.
func (g *glue) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// versions returns the protocol versions that we speak.
func versions(g *glue) map[int]goplugin.PluginSet {
	return map[int]goplugin.PluginSet{ProtocolVersion: {serviceSet: g}}
}
