package rpc_test

// Answers that a host must reject.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// staticConn is a connection to a plugin that answers each call with the same message.
type staticConn struct{ answer proto.Message }

func (l staticConn) Invoke(_ context.Context, _ string, _, answer any, _ ...grpc.CallOption) error {
	if l.answer != nil {
		proto.Merge(answer.(proto.Message), l.answer)
	}
	return nil
}

func (staticConn) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	panic("the protocol has no streams")
}

// No invalid answer of a plugin is accepted, or taken for a known error.
func TestDistrust(t *testing.T) {
	t.Parallel()
	good := session("s")
	spoil := func(change func(*records.Session)) *records.Session {
		m := records.FromSession(good)
		change(m)
		return m
	}
	detail := func(change func(*pb.SessionDetail)) *pb.SessionDetail {
		m := wire.FromDetail(&ticketstore.SessionDetail{
			Session: *good, Clients: []ticketstore.ClientUse{{ClientID: "c", FirstUsed: now, LastUsed: now}},
		})
		change(m)
		return m
	}
	same := func(*pb.SessionDetail) {}
	two := []*pb.SessionDetail{detail(same), detail(same)}
	g := grant("h")
	token := grantstore.Ref{Type: grantstore.ReferenceToken, Key: g.Key}
	found := func(change func(*pb.GetGrantResponse)) proto.Message {
		m := wire.FromGetResult(&grantstore.GetResult{Grant: g}, nil)
		change(m)
		return m
	}
	notification := func(change func(*logout.Notification)) *pb.NotificationRecord {
		n := logout.Notification{
			ID: "n", Issuer: "i", ClientID: "c", SessionID: "s", Reason: logout.Terminated,
			State: logout.Pending, Queued: now,
		}
		change(&n)
		return wire.FromNotification(&n)
	}
	sound := func(*logout.Notification) {}
	work := func(n ...*pb.NotificationRecord) proto.Message {
		return &pb.ClaimDeliveriesResponse{Deliveries: n}
	}
	one := int64(-7)

	for name, test := range map[string]struct {
		answer proto.Message
		call   func(*rpc.Caller) error
	}{
		"get: empty": {nil, get(good.Key)},
		"get: another key": {
			&pb.GetSessionResponse{Session: records.FromSession(session("other"))}, get(good.Key),
		},
		"get: no key": {
			&pb.GetSessionResponse{Session: spoil(func(m *records.Session) { m.Key = nil })}, get(good.Key),
		},
		"get: short key": {
			&pb.GetSessionResponse{Session: spoil(func(m *records.Session) { m.Key = m.Key[:9] })},
			get(good.Key),
		},
		"get: no subject": {
			&pb.GetSessionResponse{Session: spoil(func(m *records.Session) { m.SubjectId = "" })},
			get(good.Key),
		},
		"get: no sid": {
			&pb.GetSessionResponse{Session: spoil(func(m *records.Session) { m.SessionId = "" })},
			get(good.Key),
		},
		"get: zero time": {
			&pb.GetSessionResponse{Session: spoil(func(m *records.Session) { m.Expires = 0 })}, get(good.Key),
		},
		"get: no creation": {
			&pb.GetSessionResponse{Session: spoil(func(m *records.Session) { m.Created = 0 })}, get(good.Key),
		},
		"get: oversized ticket": {
			&pb.GetSessionResponse{
				Session: spoil(func(m *records.Session) { m.Ticket = make([]byte, 65<<10) }),
			},
			get(good.Key),
		},
		"get: zero key asked": {
			&pb.GetSessionResponse{Session: spoil(func(m *records.Session) { m.Key = nil })},
			get(ticketstore.Key{}),
		},
		"find: empty":       {nil, find("s")},
		"find: another sid": {&pb.FindSessionResponse{Detail: detail(same)}, find("t")},
		"find: client no id": {
			&pb.FindSessionResponse{Detail: detail(func(d *pb.SessionDetail) { d.Clients[0].ClientId = "" })},
			find("s"),
		},
		"find: client no use": {
			&pb.FindSessionResponse{Detail: detail(func(d *pb.SessionDetail) { d.Clients[0].Use = nil })},
			find("s"),
		},
		"find: client no time": {
			&pb.FindSessionResponse{
				Detail: detail(func(d *pb.SessionDetail) { d.Clients[0].Use.LastUsed = 0 }),
			},
			find("s"),
		},
		"renew: empty": {nil, renew(good.Key)},
		"renew: another": {
			&pb.RenewSessionResponse{Session: records.FromSession(session("other"))}, renew(good.Key),
		},
		"rekey: old key": {
			&pb.RekeySessionResponse{Session: records.FromSession(session("other"))}, rekeyTo(good.Key),
		},
		"query: more rows": {
			&pb.QuerySessionsResponse{Sessions: two, ResultsToken: "t"},
			query(ticketstore.SessionQuery{Count: 1}),
		},
		"query: no token": {
			&pb.QuerySessionsResponse{Sessions: two}, query(ticketstore.SessionQuery{}),
		},
		"query: long token": {
			&pb.QuerySessionsResponse{ResultsToken: strings.Repeat("t", ticketstore.MaxResultsToken+1)},
			query(ticketstore.SessionQuery{}),
		},
		"query: negative total": {
			&pb.QuerySessionsResponse{TotalCount: &one}, query(ticketstore.SessionQuery{}),
		},
		"query: another subject": {
			&pb.QuerySessionsResponse{Sessions: two, ResultsToken: "t"}, query(filter("43")),
		},
		"query: nil row": {
			&pb.QuerySessionsResponse{Sessions: []*pb.SessionDetail{{}}, ResultsToken: "t"},
			query(ticketstore.SessionQuery{}),
		},
		"grant: empty":   {nil, getGrant(g.Ref)},
		"grant: another": {found(func(m *pb.GetGrantResponse) { m.Grant.Ref[1]++ }), getGrant(g.Ref)},
		"grant: no type": {
			found(func(m *pb.GetGrantResponse) { m.Grant.Ref[0] = 0 }), getGrant(g.Ref),
		},
		"grant: short key": {
			found(func(m *pb.GetGrantResponse) { m.Grant.Ref = m.Grant.Ref[:9] }), getGrant(g.Ref),
		},
		"grant: another type": {
			found(func(m *pb.GetGrantResponse) { m.Grant.Ref[0] = 8 }), getGrant(g.Ref),
		},
		"grant: used without its error": {
			found(func(m *pb.GetGrantResponse) { m.Grant.Grant.Consumed = records.Nanos(now) }),
			getGrant(g.Ref),
		},
		"grant: used without a time": {
			found(func(m *pb.GetGrantResponse) { m.Dead = "consumed" }), getGrant(g.Ref),
		},
		"grant: dead without a reason": {
			found(func(m *pb.GetGrantResponse) { m.Dead = "not_found" }), getGrant(g.Ref),
		},
		"grant: zero time": {
			found(func(m *pb.GetGrantResponse) { m.Grant.Grant.Created = 0 }), getGrant(g.Ref),
		},
		"grant: oversized": {
			found(func(m *pb.GetGrantResponse) { m.Grant.Grant.Data = make([]byte, 129<<10) }),
			getGrant(g.Ref),
		},
		"grant: nil related": {
			found(func(m *pb.GetGrantResponse) { m.Related = []*pb.GrantRecord{{}} }), getGrant(g.Ref),
		},
		"grant: related of a token": {
			found(func(m *pb.GetGrantResponse) {
				m.Grant.Ref = records.RefBytes(token)
				m.Related = []*pb.GrantRecord{proto.Clone(m.Grant).(*pb.GrantRecord)}
			}),
			getGrant(token),
		},
		"query: circular": {
			&pb.QuerySessionsResponse{ResultsToken: tokenOf("sessions"), HasNext: true},
			query(ticketstore.SessionQuery{ResultsToken: tokenOf("sessions")}),
		},
		"query: next without rows": {
			&pb.QuerySessionsResponse{HasNext: true}, query(ticketstore.SessionQuery{}),
		},
		"grants: circular": {
			&pb.QueryGrantsResponse{ResultsToken: tokenOf("grants"), HasNext: true},
			grantsAfter(tokenOf("grants")),
		},
		"apply: slid without a use": {&pb.ApplyBatchResponse{Slid: true}, applyEmpty},
		"apply: times without a session": {
			&pb.ApplyBatchResponse{Session: &pb.SessionTimes{Renewed: 1, Expires: 2}}, applyEmpty,
		},
		"apply: a session without times": {
			&pb.ApplyBatchResponse{Session: &pb.SessionTimes{Renewed: 1}}, applyEmpty,
		},
		"changes: circular": {&pb.ListChangesResponse{Through: 7, Left: 1}, changesAfter(7)},
		"changes: back":     {&pb.ListChangesResponse{Through: 6}, changesAfter(7)},
		"claim: duplicate":  {work(notification(sound), notification(sound)), claim},
		"apply: negative":   {&pb.ApplyBatchResponse{Revoked: -1}, applyEmpty},
		"purge: more":       {&pb.PurgeGrantsResponse{Deleted: 11}, purge},
		"purge: negative":   {&pb.PurgeGrantsResponse{Deleted: -1}, purge},
		"end: empty":        {nil, endOne},
		"end: negative": {
			&pb.EndSessionsResponse{Result: &records.EndingResult{GrantsRevoked: -1}}, endOne,
		},
		"end: client without id": {
			&pb.EndSessionsResponse{Result: &records.EndingResult{ClientsLeftAlone: []string{""}}}, endOne,
		},
		"end due: more": {&pb.EndDueSessionsResponse{Ended: 11}, endDue},
		"claim: more": {
			work(notification(sound), notification(sound), notification(sound)), claim,
		},
		"claim: nil notification": {work(nil), claim},
		"claim: no sid": {
			work(notification(func(n *logout.Notification) { n.SessionID = "" })), claim,
		},
		"claim: no state": {work(notification(func(n *logout.Notification) { n.State = "" })), claim},
		"claim: unknown state": {
			work(notification(func(n *logout.Notification) { n.State = "lost" })), claim,
		},
		"claim: zero time": {
			work(notification(func(n *logout.Notification) { n.Queued = time.Time{} })), claim,
		},
		"retry: empty":           {nil, retry("n")},
		"retry: no notification": {&pb.RetryNotificationsResponse{Count: 1}, retry("n")},
		"retry: more": {
			&pb.RetryNotificationsResponse{Notification: notification(sound), Count: 2}, retry("n"),
		},
		"retry some: more":     {&pb.RetryNotificationsResponse{Count: 11}, retrySome("")},
		"retry some: negative": {&pb.RetryNotificationsResponse{Count: -1}, retrySome("")},
		"retry some: circular": {&pb.RetryNotificationsResponse{Count: 1, Next: "n"}, retrySome("n")},
		"job: empty":           {nil, job},
		"job: another":         {goodJob(func(m *pb.GetJobResponse) { m.Id = "other" }), job},
		"job: no record":       {goodJob(func(m *pb.GetJobResponse) { m.Job = nil }), job},
		"job: no time":         {goodJob(func(m *pb.GetJobResponse) { m.Job.Now = 0 }), job},
		"job: negative":        {goodJob(func(m *pb.GetJobResponse) { m.Job.LookedAt = -1 }), job},
		"job: negative result": {
			goodJob(func(m *pb.GetJobResponse) { m.Job.Done = &records.EndingResult{GrantsRevoked: -1} }),
			job,
		},
		"job: long error": {
			goodJob(func(m *pb.GetJobResponse) { m.Job.Error = strings.Repeat("e", 513) }), job,
		},
		"end all: no job": {
			&pb.EndSessionsResponse{Result: &records.EndingResult{SessionsRemoved: 1}}, endAll,
		},
		"end all: another job": {
			&pb.EndSessionsResponse{Result: &records.EndingResult{}, JobId: "other"}, endAll,
		},
		"end: a job": {
			&pb.EndSessionsResponse{Result: &records.EndingResult{}, JobId: "o"}, endOne,
		},
		"end: unrequested clients": {
			&pb.EndSessionsResponse{Result: &records.EndingResult{}, MissingClients: []string{"app"}}, endOne,
		},
		"end: a client without a name": {
			&pb.EndSessionsResponse{Result: &records.EndingResult{}, MissingClients: []string{""}},
			plain(end(&logout.Ending{
				OperationID: "o", SubjectID: "42", Reason: logout.Terminated, AskRegistered: true,
			})),
		},
		"due: unrequested clients": {
			&pb.EndDueSessionsResponse{MissingClients: []string{"app"}}, endDue,
		},
		"due: too many clients": {
			&pb.EndDueSessionsResponse{MissingClients: slices.Repeat([]string{"app"},
				ticketstore.MaxRegistrations+1)},
			func(c *rpc.Caller) error {
				_, err := (&rpc.Logout{Caller: c}).EndDue(context.Background(),
					logout.Sweep{Limit: 10, AskRegistered: true}, now)
				return err
			},
		},
		"remove: empty": {nil, remove(nil)},
		"remove: more":  {&pb.RemoveGrantsResponse{Removed: &records.Removed{Met: 11}}, remove(nil)},
		"remove: negative": {
			&pb.RemoveGrantsResponse{Removed: &records.Removed{GrantsRevoked: -1}}, remove(nil),
		},
		"remove: more than met": {
			&pb.RemoveGrantsResponse{Removed: &records.Removed{Met: 1, GrantsRevoked: 1, ConsentsRevoked: 1}},
			remove(nil),
		},
		"remove: circular": {
			&pb.RemoveGrantsResponse{Removed: &records.Removed{Met: 1, Next: []byte("n")}},
			remove([]byte("n")),
		},
		"retry: another": {&pb.RetryNotificationsResponse{Notification: notification(sound)}, retry("m")},
		"deliveries: circular": {
			&pb.QueryNotificationsResponse{ResultsToken: tokenOf("deliveries"), HasNext: true},
			deliveriesAfter(tokenOf("deliveries")),
		},
		"deliveries: more": {
			&pb.QueryNotificationsResponse{
				Notifications: []*pb.NotificationRecord{notification(sound), notification(sound)},
				ResultsToken:  "t",
			},
			deliveries,
		},
		"property: oversized": {
			&pb.GetPropertyResponse{Value: make([]byte, ticketstore.MaxProperty+1)}, property,
		},
		"describe: empty": {nil, describe},
		"describe: no end": {
			&pb.DescribeResponse{Name: "x", Trouble: strings.Repeat("x", ticketstore.MaxText+1)}, describe,
		},
		"describe: a host without a name": {
			&pb.DescribeResponse{Name: "x", Hosts: []*pb.Host{{Beat: 1}}}, describe,
		},
		"describe: a host without a beat": {
			&pb.DescribeResponse{Name: "x", Hosts: []*pb.Host{{Name: "node"}}}, describe,
		},
		"describe: too many hosts": {
			&pb.DescribeResponse{Name: "x", Hosts: make([]*pb.Host, ticketstore.MaxHosts+1)}, describe,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.call(&rpc.Caller{
				Conn: staticConn{test.answer}, Timeout: time.Minute, Long: time.Minute,
			})
			if err == nil {
				t.Fatal("the answer was accepted")
			}
			for _, known := range []error{
				ticketstore.ErrNotFound, ticketstore.ErrUnavailable, ticketstore.ErrInvalid,
				ticketstore.ErrExists, grantstore.ErrConsumed,
			} {
				if errors.Is(err, known) {
					t.Errorf("got %v, which is %q: want no known error", err, known)
				}
			}
		})
	}
}

// exporter is a connection to a plugin whose export repeats one position forever.
type exporter struct{ staticConn }

type endless struct{ grpc.ClientStream }

func (exporter) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return endless{}, nil
}

func (endless) SendMsg(any) error { return nil }
func (endless) CloseSend() error  { return nil }

func (endless) RecvMsg(message any) error {
	proto.Merge(message.(proto.Message), &pb.ExportRecordsResponse{
		Position: []byte("p"),
		Records: []*pb.TransferRecord{
			{Kind: uint32(transfer.Sessions), Key: []byte("k"), Data: []byte("d")},
		},
	})
	return nil
}

func TestExportWithoutProgress(t *testing.T) {
	t.Parallel()
	store := &rpc.Transfer{Caller: &rpc.Caller{Conn: exporter{}, Timeout: time.Minute, Long: time.Minute}}
	for after, want := range map[string]int{"": 1, "p": 0} {
		batches, err := 0, error(nil)
		for _, err = range store.Export(t.Context(), []byte(after)) {
			if err != nil {
				break
			}
			batches++
		}
		if err == nil || batches != want {
			t.Errorf("after %q: %d batches, then %v; want %d, then an error", after, batches, err, want)
		}
	}
}

// Invalid requests are rejected before they are sent, with the invalid field.
func TestRequestsAreChecked(t *testing.T) {
	t.Parallel()
	bad := session("s")
	bad.DisplayName = "\xff"
	for name, call := range map[string]func(*rpc.Caller) error{
		"create": func(c *rpc.Caller) error {
			return (&rpc.Tickets{Caller: c}).Create(context.Background(), bad)
		},
		"find": find("a\x00"),
		"rekey": func(c *rpc.Caller) error {
			_, err := (&rpc.Tickets{Caller: c}).Rekey(context.Background(), ticketstore.Rekey{ACR: "\xff"},
				now)
			return err
		},
		"query": query(filter(strings.Repeat("x", 10<<10))),
		"token": query(ticketstore.SessionQuery{ResultsToken: "\xff"}),
		"apply": plain(apply(&grantstore.Batch{})),
		"grant": getGrant(grantstore.Ref{Type: "\xff", Key: ticketstore.Key{1}}),
		"end": plain(end(&logout.Ending{
			OperationID: "o", SubjectID: "42", Reason: logout.Terminated, ClientIDs: []string{},
		})),
		"retry": retry("\xff"),
		"remove": func(c *rpc.Caller) error {
			_, err := (&rpc.Grants{Caller: c}).Remove(context.Background(),
				grantstore.Removal{OperationID: "o", Limit: 1}, now)
			return err
		},
		"job": func(c *rpc.Caller) error {
			_, err := (&rpc.Logout{Caller: c}).Job(context.Background(), "")
			return err
		},
	} {
		err := call(&rpc.Caller{Conn: staticConn{}, Timeout: time.Minute, Long: time.Minute})
		var field *ticketstore.FieldError
		if !errors.As(err, &field) {
			t.Errorf("%s: got %v, want a *FieldError", name, err)
		}
	}
}
