package rpc

// BackendService: Configure and Describe, client and server.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var (
	configure = method{path: pb.BackendService_Configure_FullMethodName, name: "configure", long: true}
	describe  = repeatable(pb.BackendService_Describe_FullMethodName, "describe")
)

// Services are the required services of a backend.
var Services = []string{"tickets", "grants", "logout", ticketstore.PropertiesService}

// maxServices bounds Description.Services.
const maxServices = 64

// Configure opens the plugin's backend with settings in JSON. If there are ids, the store must have one of
// them.
func (c *Caller) Configure(ctx context.Context, settings []byte, storeIDs ...string) error {
	request := &pb.ConfigureRequest{Settings: settings, StoreIds: storeIDs}
	_, err := invoke[pb.ConfigureResponse](ctx, c, &configure, request)
	return err
}

// Describe returns the backend's description.
func (c *Caller) Describe(ctx context.Context) (ticketstore.Description, error) {
	return ask(ctx, c, &describe, &pb.DescribeRequest{}, descriptionOf, checkDescription)
}

func descriptionOf(answer *pb.DescribeResponse) (d ticketstore.Description, err error) {
	d = ticketstore.Description{
		Name: answer.GetName(), Version: answer.GetVersion(), Format: answer.GetFormat(),
		Services: answer.GetServices(), Shared: answer.GetShared(),
		StoreID: answer.GetStoreId(), Trouble: answer.GetTrouble(),
	}
	d.Hosts, err = wire.ToHosts("hosts", answer.GetHosts())
	return d, err
}

func checkDescription(d ticketstore.Description) error {
	if len(d.Services) > maxServices {
		return fmt.Errorf("%d services", len(d.Services))
	}
	return cmp.Or(
		ticketstore.CheckID("name", d.Name),
		ticketstore.CheckText("version", d.Version, ticketstore.MaxText),
		ticketstore.CheckText("store_id", d.StoreID, ticketstore.MaxID),
		ticketstore.CheckText("trouble", d.Trouble, ticketstore.MaxText),
		checkIDs("services", d.Services),
	)
}

var backendHandlers = []*handler{
	newHandler(&configure, serveConfigure), handle(&describe, serveDescription),
	handle(&getProperty, serveProperty), handle(&setProperty, changeProperty),
	handle(&getFigures, serveFigures),
}

// serveConfigure opens the backend once.
func serveConfigure(
	ctx context.Context, s *Server, request *pb.ConfigureRequest,
) (*pb.ConfigureResponse, error) {
	if !s.gate.Enter() {
		return nil, s.status(ctx, configure.name, ticketstore.ErrUnavailable)
	}
	defer s.gate.Leave()
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.current() != nil {
		return nil, s.status(ctx, configure.name, wire.ErrConfigured)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.giveUp = cancel
	s.mu.Unlock()
	backend, err := s.open(ctx, request)
	if err != nil {
		return nil, wire.ConfigureStatus(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backend = backend
	return &pb.ConfigureResponse{}, nil
}

// open opens the backend. It closes a backend that ignored the wanted ids and opened another store.
func (s *Server) open(ctx context.Context, request *pb.ConfigureRequest) (sessions.Backend, error) {
	wanted := request.GetStoreIds()
	if len(wanted) > 0 {
		ctx = ticketstore.WithStoreIDs(ctx, wanted...)
	}
	backend, err := s.Open(ctx, request.GetSettings())
	if err == nil && backend == nil {
		err = errNoAnswer
	}
	if err != nil || len(wanted) == 0 {
		return backend, err
	}
	description, err := backend.Describe(ctx)
	if err == nil && !slices.Contains(wanted, description.StoreID) {
		err = &ticketstore.OtherStoreError{Wanted: wanted, Found: description.StoreID}
	}
	if err != nil {
		return nil, errors.Join(err, backend.Close())
	}
	return backend, nil
}

func serveDescription(
	ctx context.Context, b sessions.Backend, _ *pb.DescribeRequest,
) (*pb.DescribeResponse, error) {
	d, err := b.Describe(ctx)
	return &pb.DescribeResponse{
		Name: d.Name, Version: d.Version, Format: d.Format,
		Services: append(slices.Clip(d.Services), CallsService), // served here for all
		Shared:   d.Shared,
		StoreId:  d.StoreID, Trouble: d.Trouble, Hosts: wire.FromHosts(d.Hosts),
	}, err
}
