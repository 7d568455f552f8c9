package wire_test

// Tests of the conversions: round trips of random values, and arbitrary received bytes.

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)

// trips converts a random value of each type both ways and reports differences.
var trips = map[string]func(*rand.Rand) error{
	"Session": trip(records.FromSession, wire.ToSession),
	"Detail": func(r *rand.Rand) error {
		return trip(func(d *ticketstore.SessionDetail) *pb.SessionDetail {
			d.Key, d.Ticket = ticketstore.Key{}, nil
			return wire.FromDetail(d)
		}, wire.ToDetail)(r)
	},
	"Renewal": trip(func(v *ticketstore.Renewal) *pb.RenewSessionRequest {
		return wire.FromRenewal(*v, now)
	}, pointer(wire.ToRenewal)),
	"Limit": trip(func(v *ticketstore.Limit) *pb.CreateSessionRequest {
		return wire.FromLimited(&ticketstore.Session{}, *v, now)
	},
		func(m *pb.CreateSessionRequest) (*ticketstore.Limit, error) {
			l := wire.ToSessionLimit(m.GetLimit())
			return &l, nil
		}),
	"Rekey": trip(func(v *ticketstore.Rekey) *pb.RekeySessionRequest {
		return wire.FromRekey(*v, now)
	}, pointer(wire.ToRekey)),
	"SessionQuery": trip(func(v *ticketstore.SessionQuery) *pb.QuerySessionsRequest {
		return wire.FromSessionQuery(*v)
	}, sure(wire.ToSessionQuery)),
	"Page": trip(func(p *ticketstore.Page) *pb.QuerySessionsResponse {
		for i := range p.Sessions {
			p.Sessions[i].Key, p.Sessions[i].Ticket = ticketstore.Key{}, nil
		}
		p.TotalCount, p.TotalPages, p.CurrentPage = max(p.TotalCount, -1), max(p.TotalPages, -1),
			max(p.CurrentPage, -1)
		return wire.FromPage(p)
	}, wire.ToPage),
	"Found": trip(func(f *grantstore.GetResult) *pb.GetGrantResponse {
		return wire.FromGetResult(f, grantstore.ErrConsumed)
	},
		func(m *pb.GetGrantResponse) (*grantstore.GetResult, error) {
			found, dead, err := wire.ToGetResult(m)
			if !errors.Is(dead, grantstore.ErrConsumed) {
				return nil, fmt.Errorf("got %w, want ErrConsumed", dead)
			}
			return found, err
		}),
	"Batch": trip(func(b *grantstore.Batch) *pb.ApplyBatchRequest {
		return wire.FromBatch(b, now)
	}, wire.ToBatch),
	"GrantQuery": trip(func(q *grantstore.Query) *pb.QueryGrantsRequest {
		return wire.FromGrantQuery(*q, now)
	},
		sure(wire.ToGrantQuery)),
	"GrantPage": trip(func(p *grantstore.Page) *pb.QueryGrantsResponse {
		for i := range p.Grants {
			p.Grants[i].Data = nil
		}
		return wire.FromGrantPage(p)
	}, wire.ToGrantPage),
	"Ending": trip(func(e *logout.Ending) *pb.EndSessionsRequest { return wire.FromEnding(e, now) },
		same(wire.ToEnding)),
	"Result": trip(wire.FromResult, wire.ToResult),
	"Sweep": trip(func(s *logout.Sweep) *pb.EndDueSessionsRequest {
		return wire.FromSweep(*s, now)
	}, sure(wire.ToSweep)),
	"Swept": trip(wire.FromSweepResult, wire.ToSweepResult),
	"Claim": trip(func(c *logout.Claim) *pb.ClaimDeliveriesRequest {
		return wire.FromClaim(*c, now)
	}, sure(wire.ToClaim)),
	"Claimed": trip(wire.FromClaimResult, wire.ToClaimResult),
	"Outcome": trip(func(o *logout.Outcome) *pb.SettleDeliveryRequest {
		return wire.FromSettlement("n", 1, *o, now)
	},
		sure(wire.ToOutcome)),
	"NotificationQuery": trip(func(q *logout.NotificationQuery) *pb.QueryNotificationsRequest {
		return wire.FromNotificationQuery(*q)
	},
		sure(wire.ToNotificationQuery)),
	"NotificationPage": trip(wire.FromNotificationPage, wire.ToNotificationPage),
	"Job": trip(func(j *logout.Job) *pb.GetJobResponse {
		j.Result.JobID, j.Result.MissingClients = "", nil
		switch j.State = logout.JobRunning; {
		case j.Phase == "":
			j.State = logout.JobDone
		case j.Error != "":
			j.State = logout.JobFailed
		}
		return wire.FromJob(j)
	}, wire.ToJob),
	"Retry": trip(func(v *logout.Retry) *pb.RetryNotificationsRequest {
		return wire.FromRetry(*v, now)
	}, sure(wire.ToRetry)),
	"Retried": trip(wire.FromRetryResult, wire.ToRetryResult),
	"Removal": trip(func(v *grantstore.Removal) *pb.RemoveGrantsRequest {
		return wire.FromRemoval(*v, now)
	}, sure(wire.ToRemoval)),
	"Removed":      trip(records.FromRemoval, same(records.RemovalOf)),
	"Notification": trip(wire.FromNotification, wire.ToNotification),
}

func pointer[M, T any](to func(M) (T, error)) func(M) (*T, error) {
	return func(m M) (*T, error) { v, err := to(m); return &v, err }
}

func same[M, T any](to func(M) *T) func(M) (*T, error) {
	return func(m M) (*T, error) { return to(m), nil }
}

func sure[M, T any](to func(M) T) func(M) (*T, error) {
	return func(m M) (*T, error) { v := to(m); return &v, nil }
}

// trip returns a check of From and To against each other, with the message encoded and decoded in between.
func trip[T any, M any, Message interface {
	*M
	proto.Message
}](from func(*T) Message, to func(Message) (*T, error)) func(*rand.Rand) error {
	return func(r *rand.Rand) error {
		sent := new(T)
		fill(r, reflect.ValueOf(sent).Elem())
		raw, err := proto.Marshal(from(sent))
		if err != nil {
			return fmt.Errorf("marshal: %w", err)
		}
		message := Message(new(M))
		if err := proto.Unmarshal(raw, message); err != nil {
			return fmt.Errorf("unmarshal: %w", err)
		}
		got, err := to(message)
		if err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		if diff := cmp.Diff(sent, got, cmpopts.EquateEmpty()); diff != "" {
			return fmt.Errorf("changed (-sent +got):\n%s", diff)
		}
		return nil
	}
}

// fill sets a value at random; any of its fields may be zero.
func fill(r *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		if r.IntN(4) > 0 {
			// the range of nanoseconds
			v.Set(reflect.ValueOf(time.Unix(r.Int64N(18e9)-9e9, r.Int64N(1e9)).UTC()))
		}
		return
	}
	if v.Type() == reflect.TypeFor[*grantstore.Memo]() {
		return // it is not sent
	}
	if v.Type() == reflect.TypeFor[grantstore.Type]() {
		v.Set(reflect.ValueOf(grantstore.Types[r.IntN(len(grantstore.Types))]))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString([]string{"", "a", "ü\u2028", "desc", "0123456789"}[r.IntN(5)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(int32(r.Uint32())) >> r.IntN(32))
	case reflect.Uint64, reflect.Uint8:
		v.SetUint(r.Uint64() >> (r.IntN(8) + 56*(1-v.Type().Bits()/64)))
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, id := range []string{"a", "b", "c"}[r.IntN(4):] {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(r, value)
			v.SetMapIndex(reflect.ValueOf(id), value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	default:
		panic("the domain has a field of a kind that this test does not know: " + v.Type().String())
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, check := range trips {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(200) {
				if err := check(rand.New(rand.NewPCG(seed, 1))); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		for name, check := range trips {
			if err := check(rand.New(rand.NewPCG(a, b))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// readers are the conversions of received messages of host and plugin.
var readers = map[string]func(raw []byte){
	"Session": reads(wire.ToSession), "Detail": reads(wire.ToDetail), "Page": reads(wire.ToPage),
	"Renewal": reads(pointer(wire.ToRenewal)),
	"Rekey":   reads(pointer(wire.ToRekey)), "SessionQuery": reads(sure(wire.ToSessionQuery)),
	"Found": reads(func(m *pb.GetGrantResponse) (*grantstore.GetResult, error) {
		found, _, err := wire.ToGetResult(m)
		return found, err
	}),
	"Batch": reads(wire.ToBatch), "GrantQuery": reads(sure(wire.ToGrantQuery)),
	"GrantPage": reads(wire.ToGrantPage),
	"Ending":    reads(same(wire.ToEnding)), "Result": reads(wire.ToResult),
	"Sweep": reads(sure(wire.ToSweep)), "Swept": reads(wire.ToSweepResult),
	"Claim": reads(sure(wire.ToClaim)), "Claimed": reads(wire.ToClaimResult),
	"Outcome": reads(sure(wire.ToOutcome)), "NotificationQuery": reads(sure(wire.ToNotificationQuery)),
	"NotificationPage": reads(wire.ToNotificationPage),
	"Notification":     reads(wire.ToNotification), "Job": reads(wire.ToJob),
	"Retry":   reads(sure(wire.ToRetry)),
	"Retried": reads(wire.ToRetryResult),
	"Removal": reads(sure(wire.ToRemoval)),
	"Removed": reads(same(records.RemovalOf)),
}

func reads[M any, T any, Message interface {
	*M
	proto.Message
}](to func(Message) (*T, error)) func([]byte) {
	return func(raw []byte) {
		message := Message(new(M))
		if proto.Unmarshal(raw, message) == nil {
			_, _ = to(message)
		}
	}
}

// Reading arbitrary bytes neither panics nor loops.
func FuzzFromWire(f *testing.F) {
	for _, message := range []proto.Message{
		&pb.QuerySessionsResponse{
			Sessions: []*pb.SessionDetail{nil, {Clients: []*pb.SessionClient{nil, {}}}},
		},
		&pb.ApplyBatchRequest{Store: []*pb.GrantRecord{{}}, Use: &pb.Use{}, Revoke: []*pb.Revocation{{}}},
		&pb.ClaimDeliveriesResponse{Deliveries: []*pb.NotificationRecord{{}}},
		wire.FromNotification(&logout.Notification{Queued: now}),
		wire.FromEnding(&logout.Ending{ClientIDs: []string{""}}, now),
	} {
		raw, err := proto.Marshal(message)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
	}
	f.Fuzz(func(_ *testing.T, raw []byte) {
		for _, read := range readers {
			read(raw)
		}
	})
}

// Any received status becomes an error with valid text.
func FuzzError(f *testing.F) {
	for _, err := range []error{
		ticketstore.Invalidf("subject_id", "is \xff"), grantstore.ErrConsumed,
		fmt.Errorf("%w: gone", ticketstore.ErrUnavailable), errors.New("x"),
	} {
		st, _ := wire.Status(err)
		raw, err := proto.Marshal(status.Convert(st).Proto())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		message := &spb.Status{}
		if proto.Unmarshal(raw, message) != nil || message.GetCode() == int32(codes.OK) {
			t.Skip("not an error of gRPC")
		}
		err := wire.Error(status.FromProto(message).Err())
		if err == nil {
			t.Fatalf("status %v became no error", message)
		}
		if text := err.Error(); text == "" || !utf8.ValidString(text) {
			t.Fatalf("the error is %q", text)
		}
		again, _ := wire.Status(err)
		if wire.Error(again) == nil {
			t.Fatalf("%v becomes no error when it is sent", err)
		}
	})
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	if _, err := wire.Key("key", make([]byte, 31)); !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("a key of 31 bytes: got %v, want ErrInvalid", err)
	}
	if _, err := wire.Now(0); !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("no now: got %v, want ErrInvalid", err)
	}
	for name, raw := range map[string][]byte{
		"none": nil, "short": make([]byte, 32), "of no type": make([]byte, 33),
		"of an unknown type": append([]byte{99}, make([]byte, 32)...),
	} {
		if _, err := wire.Ref(raw); !errors.Is(err, ticketstore.ErrInvalid) {
			t.Errorf("a reference that is %s: got %v, want ErrInvalid", name, err)
		}
	}
	for name, to := range map[string]func() error{
		"result": func() error { _, err := wire.ToResult(&pb.EndSessionsResponse{}); return err },
		"job":    func() error { _, err := wire.ToJob(&pb.GetJobResponse{Id: "j"}); return err },
		"notification": func() error {
			_, err := wire.ToNotification(&pb.NotificationRecord{Id: "n"})
			return err
		},
		"grant": func() error { _, _, err := wire.ToGetResult(&pb.GetGrantResponse{}); return err },
	} {
		if to() == nil {
			t.Errorf("no %s at all: got no error", name)
		}
	}
	if _, err := wire.ToSession(nil); err == nil {
		t.Error("no session at all: got no error")
	}
	raw, err := proto.Marshal(wire.FromEnding(&logout.Ending{ClientIDs: []string{}}, now))
	request := &pb.EndSessionsRequest{}
	if err != nil || proto.Unmarshal(raw, request) != nil {
		t.Fatalf("the request cannot be decoded: %v", err)
	}
	if ending := wire.ToEnding(request); ending.ClientIDs == nil {
		t.Error("an empty selection of clients was decoded as all clients")
	}
}
