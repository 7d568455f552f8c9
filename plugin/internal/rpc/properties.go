package rpc

// Properties of BackendService, client and server.

import (
	"bytes"
	"context"

	"github.com/fosite-sessions/sessions"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var (
	getProperty = repeatable(pb.BackendService_GetProperty_FullMethodName, "get property")
	setProperty = repeatable(pb.BackendService_SetProperty_FullMethodName, "set property")
)

// Properties is a ticketstore.Properties in a plugin.
type Properties struct{ Caller *Caller }

var _ ticketstore.Properties = (*Properties)(nil)

// Property implements ticketstore.Properties.
func (p *Properties) Property(ctx context.Context, name string) ([]byte, error) {
	if err := ticketstore.CheckPropertyName(name); err != nil {
		return nil, err
	}
	value, err := ask(ctx, p.Caller, &getProperty, &pb.GetPropertyRequest{Name: name},
		func(answer *pb.GetPropertyResponse) ([]byte, error) { return answer.GetValue(), nil },
		func(value []byte) error { return ticketstore.CheckProperty(name, value) })
	if len(value) == 0 {
		return nil, err
	}
	return value, err
}

// SetProperty implements ticketstore.Properties.
func (p *Properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	if err := ticketstore.CheckProperty(name, value); err != nil {
		return err
	}
	_, err := invoke[pb.SetPropertyResponse](ctx, p.Caller, &setProperty,
		&pb.SetPropertyRequest{Name: name, Old: old, Value: value})
	return err
}

func serveProperty(
	ctx context.Context, b sessions.Backend, request *pb.GetPropertyRequest,
) (*pb.GetPropertyResponse, error) {
	value, err := b.Properties().Property(ctx, request.GetName())
	return &pb.GetPropertyResponse{Value: bytes.Clone(value)}, err
}

func changeProperty(
	ctx context.Context, b sessions.Backend, request *pb.SetPropertyRequest,
) (*pb.SetPropertyResponse, error) {
	err := b.Properties().SetProperty(ctx, request.GetName(), request.GetOld(), request.GetValue())
	return &pb.SetPropertyResponse{}, err
}
