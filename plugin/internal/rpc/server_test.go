package rpc_test

// Tests of the server: Configure, Close, errors of the engine.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// registrar collects the unary methods of services.
type registrar map[string]bool

func (r registrar) RegisterService(service *grpc.ServiceDesc, _ any) {
	for _, m := range service.Methods {
		r[service.ServiceName+"/"+m.MethodName] = true
	}
}

func TestEveryMethodIsServed(t *testing.T) {
	t.Parallel()
	served := registrar{}
	(&rpc.Server{}).Register(served)
	want := registrar{}
	for _, service := range []*grpc.ServiceDesc{
		&pb.BackendService_ServiceDesc, &pb.TicketsService_ServiceDesc, &pb.GrantsService_ServiceDesc,
		&pb.LogoutService_ServiceDesc, &pb.TransferService_ServiceDesc, &pb.KillsService_ServiceDesc,
	} {
		want.RegisterService(service, nil)
	}
	if !maps.Equal(served, want) {
		t.Errorf("served are %v, want %v", slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(want)))
	}
}

func TestConfigureComesFirstAndOnce(t *testing.T) {
	t.Parallel()
	fail := true
	var got string
	server := &rpc.Server{Logger: slog.New(slog.DiscardHandler),
		Open: func(_ context.Context, settings []byte) (sessions.Backend, error) {
			if got = string(settings); fail {
				return nil, ticketstore.Invalidf("path", "is missing")
			}
			return &engine{get: func(context.Context, ticketstore.Key) (*ticketstore.Session, error) {
				return session("s"), nil
			}}, nil
		}}
	caller, _ := serve(t, server.Register)
	tickets := &rpc.Tickets{Caller: caller}
	ctx := t.Context()

	if _, err := tickets.Get(ctx, session("s").Key); !errors.Is(err, wire.ErrNotConfigured) {
		t.Errorf("a call before Configure: got %v, want ErrNotConfigured", err)
	}
	var field *ticketstore.FieldError
	if err := caller.Configure(ctx, []byte(`{"a":1}`)); !errors.As(err, &field) || field.Field != "path" {
		t.Errorf("a failing Configure: got %v, want a FieldError of path", err)
	}
	if got != `{"a":1}` {
		t.Errorf("settings were received as %q", got)
	}
	if _, err := caller.Describe(ctx); !errors.Is(err, wire.ErrNotConfigured) {
		t.Errorf("Describe after a failed Configure: got %v, want ErrNotConfigured", err)
	}
	fail = false
	if err := caller.Configure(ctx, nil); err != nil {
		t.Errorf("Configure after a failed one: got %v, want no error", err)
	}
	if err := caller.Configure(ctx, nil); !errors.Is(err, wire.ErrConfigured) {
		t.Errorf("a second Configure: got %v, want ErrConfigured", err)
	}
	if _, err := tickets.Get(ctx, session("s").Key); err != nil {
		t.Errorf("a call after Configure: got %v, want no error", err)
	}
}

func TestCloseWaitsForCalls(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	e := &engine{get: func(context.Context, ticketstore.Key) (*ticketstore.Session, error) {
		close(inside)
		<-goOn
		return session("s"), nil
	}}
	caller, server := configured(t, e)
	answered, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := (&rpc.Tickets{Caller: caller}).Get(context.Background(), session("s").Key)
		answered <- err
	}()
	<-inside
	go func() { closed <- server.Close(time.Minute) }()
	impatient := &rpc.Caller{Conn: caller.Conn, Timeout: 20 * time.Millisecond, Long: 20 * time.Millisecond}
	for refused := false; !refused; { // until Close has begun
		_, err := impatient.Describe(t.Context())
		refused = errors.Is(err, ticketstore.ErrUnavailable)
	}
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v during a call", err)
	default:
	}
	close(goOn)
	if err := <-answered; err != nil {
		t.Errorf("the running call: got %v, want its answer", err)
	}
	if err := <-closed; err != nil || e.closed != 1 {
		t.Errorf("Close: got %v and %d closes of the engine, want none and 1", err, e.closed)
	}
	if err := server.Close(0); err != nil || e.closed != 1 {
		t.Errorf("a second Close: got %v and %d closes of the engine, want none and 1", err, e.closed)
	}
}

func TestEngineErrorsAreNotReturned(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	const secret = "row 5f3c"
	server := &rpc.Server{Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Open: func(context.Context, []byte) (sessions.Backend, error) {
			return &engine{get: func(context.Context, ticketstore.Key) (*ticketstore.Session, error) {
				return nil, fmt.Errorf("cannot decode %s", secret)
			}}, nil
		}}
	caller, _ := serve(t, server.Register)
	if err := caller.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	_, err := (&rpc.Tickets{Caller: caller}).Get(t.Context(), ticketstore.Key{1})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v, want an error without the engine's text", err)
	}
	if errors.Is(err, ticketstore.ErrNotFound) || errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("got %v, want no known error", err)
	}
	if !strings.Contains(log.String(), secret) {
		t.Errorf("the plugin's log does not contain the error: %s", log.String())
	}
}

// An engine logs once that its disk is nearly full: a line for each refused change would fill the disk.
func TestErrNoSpaceIsNotLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	server := &rpc.Server{Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Open: func(context.Context, []byte) (sessions.Backend, error) {
			return &engine{rekey: func() (*ticketstore.Session, error) {
				return nil, fmt.Errorf("%w: 1 MiB is free", ticketstore.ErrNoSpace)
			}}, nil
		}}
	caller, _ := serve(t, server.Register)
	if err := caller.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s := session("s")
	_, err := (&rpc.Tickets{Caller: caller}).Rekey(t.Context(), ticketstore.Rekey{
		Key: s.Key, NewKey: ticketstore.Key{2}, AuthTime: now, Expires: now.Add(time.Hour),
	}, now)
	if !errors.Is(err, ticketstore.ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
	if log.Len() > 0 {
		t.Errorf("the plugin's log: %s, want it empty", log.String())
	}
}

func TestEngineWithoutAnswer(t *testing.T) {
	t.Parallel()
	e := &engine{
		get:   func(context.Context, ticketstore.Key) (*ticketstore.Session, error) { return nil, nil },
		query: func(ticketstore.SessionQuery) (*ticketstore.Page, error) { return nil, nil },
	}
	e.apply = func(*grantstore.Batch) (*grantstore.Result, error) { return nil, nil }
	caller, _ := configured(t, e)
	tickets := &rpc.Tickets{Caller: caller}
	_, getErr := tickets.Get(t.Context(), ticketstore.Key{1})
	_, queryErr := tickets.Query(t.Context(), ticketstore.SessionQuery{})
	_, applyErr := (&rpc.Grants{Caller: caller}).Apply(t.Context(), &grantstore.Batch{OperationID: "o"}, now)
	for name, err := range map[string]error{"Get": getErr, "Query": queryErr, "Apply": applyErr} {
		if err == nil || errors.Is(err, ticketstore.ErrNotFound) ||
			errors.Is(err, ticketstore.ErrUnavailable) {
			t.Errorf("%s: got %v, want an error of no known kind", name, err)
		}
	}
}

// A dead grant is returned with its error, as in process.
func TestDeadGrants(t *testing.T) {
	t.Parallel()
	for _, dead := range []error{grantstore.ErrConsumed, grantstore.ErrSessionEnded} {
		g := grant("h")
		g.Consumed = now
		e := &engine{}
		e.find = func(grantstore.Ref) (*grantstore.GetResult, error) {
			return &grantstore.GetResult{Grant: g}, fmt.Errorf("engine: %w", dead)
		}
		caller, _ := configured(t, e)
		found, err := (&rpc.Grants{Caller: caller}).Get(t.Context(), g.Ref, now)
		if !errors.Is(err, dead) || found == nil || found.Grant.Ref != g.Ref {
			t.Errorf("got %v, %v; want the grant and %v", found, err, dead)
		}
		e.find = func(grantstore.Ref) (*grantstore.GetResult, error) { return nil, dead }
		if found, err = (&rpc.Grants{Caller: caller}).Get(t.Context(), g.Ref, now); !errors.Is(err, dead) ||
			found != nil {
			t.Errorf("without a grant: got %v, %v; want nil and %v", found, err, dead)
		}
	}
}

// A results token contains the filter as sent: a time beyond storable ones must match its own token.
func TestFilterBeyondStorableTimes(t *testing.T) {
	t.Parallel()
	end := []byte("position")
	e := &engine{query: func(q ticketstore.SessionQuery) (*ticketstore.Page, error) {
		walk, err := q.Walk()
		if err != nil {
			return nil, err
		}
		page := &ticketstore.Page{TotalCount: -1, TotalPages: -1, CurrentPage: -1}
		page.ResultsToken, err = walk.Token(ticketstore.Bound{}, ticketstore.Bound{Position: end}, walk.Page)
		return page, err
	}}
	caller, _ := configured(t, e)
	tickets := &rpc.Tickets{Caller: caller}
	query := ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{
		CreatedFrom:   time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC),
		ExpiresBefore: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}}
	for range 3 {
		page, err := tickets.Query(t.Context(), query)
		if err != nil {
			t.Fatalf("a page of the walk: %v", err)
		}
		query.ResultsToken = page.ResultsToken
	}
}
