package rpc_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// rawConn is a connection to a plugin that answers every call with the same bytes.
type rawConn struct {
	staticConn
	answer []byte
}

func (b rawConn) Invoke(_ context.Context, _ string, _, answer any, _ ...grpc.CallOption) error {
	if err := proto.Unmarshal(b.answer, answer.(proto.Message)); err != nil {
		return status.Error(codes.Internal, "grpc: error while unmarshalling")
	}
	return nil
}

// FuzzAnswers: for any answer of a plugin, a caller gets an error or what was requested.
func FuzzAnswers(f *testing.F) {
	good, g := session("s"), grant("h")
	detail := wire.FromDetail(&ticketstore.SessionDetail{Session: *good})
	for _, answer := range []proto.Message{
		&pb.GetSessionResponse{Session: records.FromSession(good)}, &pb.FindSessionResponse{Detail: detail},
		&pb.QuerySessionsResponse{Sessions: []*pb.SessionDetail{detail}, ResultsToken: "t"},
		wire.FromGetResult(&grantstore.GetResult{Grant: g}, nil),
		&pb.ApplyBatchResponse{Revoked: 1},
		&pb.EndSessionsResponse{Result: &records.EndingResult{ClientsLeftAlone: []string{"c"}}},
		&pb.DescribeResponse{Name: "n"},
		wire.FromSweepResult(&logout.SweepResult{Next: now}),
		wire.FromNotificationPage(&logout.NotificationPage{ResultsToken: "t"}),
	} {
		raw, err := proto.Marshal(answer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)*2/3])
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, raw []byte) {
		caller := &rpc.Caller{Conn: rawConn{answer: raw}, Timeout: time.Minute, Long: time.Minute}
		tickets, grants := &rpc.Tickets{Caller: caller}, &rpc.Grants{Caller: caller}
		if got, err := tickets.Get(ctx, good.Key); err == nil &&
			(got.Key != good.Key || got.Validate() != nil) {
			t.Errorf("Get returned %+v, not what was requested: %v", got, got.Validate())
		}
		if got, err := tickets.Find(ctx, "s"); err == nil && (got.SessionID != "s" || got.SubjectID == "") {
			t.Errorf("Find returned %+v", got)
		}
		if got, err := tickets.Query(ctx, ticketstore.SessionQuery{Count: 3}); err == nil &&
			(len(got.Sessions) > 3 || got.TotalCount < -1) {
			t.Errorf("Query returned %+v", got)
		}
		if got, err := grants.Get(ctx, g.Ref, now); err == nil &&
			(got.Grant.Ref != g.Ref || got.Grant.Validate() != nil) {
			t.Errorf("Get of a grant returned %+v: %v", got, got.Grant.Validate())
		}
		for _, call := range []func(*rpc.Caller) error{
			renew(good.Key), rekeyTo(good.Key), applyEmpty, purge, endOne, endDue, claim, retry("n"),
			deliveries,
			describe, property,
			func(c *rpc.Caller) error {
				_, err := grants.Query(ctx, grantstore.Query{Count: 3}, now)
				return err
			},
			func(c *rpc.Caller) error {
				return (&rpc.Logout{Caller: c}).Settle(ctx, "n", 1, logout.Outcome{State: logout.Delivered},
					now)
			},
		} {
			_ = call(caller)
		}
	})
}

// methods collects the methods of a server by full name.
type methods map[string]func(raw []byte) (any, error)

func (m methods) RegisterService(service *grpc.ServiceDesc, server any) {
	for _, method := range service.Methods {
		m[service.ServiceName+"/"+method.MethodName] = func(raw []byte) (any, error) {
			return method.Handler(server, context.Background(), func(request any) error {
				return proto.Unmarshal(raw, request.(proto.Message))
			}, nil)
		}
	}
}

// FuzzRequests: any request is answered, or refused by a known error, but never by an internal one.
func FuzzRequests(f *testing.F) {
	for _, request := range []proto.Message{
		&pb.CreateSessionRequest{Session: records.FromSession(session("s"))},
		&pb.GetSessionRequest{Key: make([]byte, 32)},
		wire.FromRenewal(ticketstore.Renewal{Expires: now}, now),
		wire.FromRekey(ticketstore.Rekey{NewKey: ticketstore.Key{1}}, now),
		wire.FromSessionQuery(ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{DisplayName: "a"}}),
		wire.FromBatch(&grantstore.Batch{OperationID: "o", Store: []grantstore.Grant{grant("h")}}, now),
		wire.FromEnding(&logout.Ending{OperationID: "o", SubjectID: "42", Reason: logout.Terminated}, now),
		wire.FromSweep(logout.Sweep{Limit: 1}, now),
		wire.FromClaim(logout.Claim{Limit: 1, PerClient: 1, Lease: time.Minute}, now),
		wire.FromSettlement("n", 1, logout.Outcome{State: logout.Delivered}, now),
		&pb.FindSessionRequest{SessionId: "\x01"},
		&pb.SetPropertyRequest{Name: "issuer", Value: []byte("a")},
	} {
		raw, err := proto.Marshal(request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)*2/3])
	}
	noSync := false
	engine, err := badger.Open(context.Background(),
		badger.Settings{Path: f.TempDir(), Sync: &noSync, MemoryMiB: 64},
		slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	server := &rpc.Server{
		Open: func(context.Context, []byte) (sessions.Backend, error) {
			return engine, nil
		}, Logger: slog.New(slog.DiscardHandler),
	}
	served := methods{}
	server.Register(served)
	if _, err := served["sessions.plugin.v1.BackendService/Configure"](nil); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = server.Close(time.Minute) })
	names := slices.Sorted(maps.Keys(served))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, name := range names {
			answer, err := served[name](raw)
			switch {
			case err == nil && answer == nil:
				t.Errorf("%s answered nothing", name)
			case status.Code(err) == codes.Internal, status.Code(err) == codes.Unavailable:
				t.Errorf("%s answered %v to an invalid request", name, err)
			}
		}
	})
}
