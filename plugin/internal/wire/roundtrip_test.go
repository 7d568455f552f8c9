package wire_test

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
	"github.com/fosite-sessions/sessions/ticketstore"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 123456789, time.UTC)

// trips sends a random value of each type over the wire and reports what came back different.
var trips = map[string]func(*rand.Rand) error{
	"Session": trip(wire.FromSession, wire.ToSession),
	"Detail": func(r *rand.Rand) error {
		return trip(func(d *ticketstore.SessionDetail) *pb.SessionDetail {
			d.Key, d.Ticket = ticketstore.Key{}, nil
			return wire.FromDetail(d)
		}, wire.ToDetail)(r)
	},
	"Renewal": trip(func(v *ticketstore.Renewal) *pb.RenewSessionRequest { return wire.FromRenewal(*v, now) }, pointer(wire.ToRenewal)),
	"Limit": trip(func(v *ticketstore.Limit) *pb.CreateSessionRequest { return wire.FromLimited(nil, *v, now) },
		func(m *pb.CreateSessionRequest) (*ticketstore.Limit, error) {
			l := wire.ToSessionLimit(m.GetLimit())
			return &l, nil
		}),
	"Rekey": trip(func(v *ticketstore.Rekey) *pb.RekeySessionRequest { return wire.FromRekey(*v, now) }, pointer(wire.ToRekey)),
	"SessionQuery": trip(func(v *ticketstore.SessionQuery) *pb.QuerySessionsRequest {
		return wire.FromSessionQuery(*v)
	}, pointer(wire.ToSessionQuery)),
	"Page": trip(func(p *ticketstore.Page) *pb.QuerySessionsResponse {
		for i := range p.Sessions {
			p.Sessions[i].Key, p.Sessions[i].Ticket = ticketstore.Key{}, nil
		}
		p.TotalCount, p.TotalPages, p.CurrentPage = max(p.TotalCount, -1), max(p.TotalPages, -1), max(p.CurrentPage, -1)
		return wire.FromPage(p)
	}, wire.ToPage),
	"Found": trip(func(f *grantstore.GetResult) *pb.GetGrantResponse { return wire.FromFound(f, grantstore.ErrConsumed) },
		func(m *pb.GetGrantResponse) (*grantstore.GetResult, error) {
			found, dead, err := wire.ToFound(m)
			if !errors.Is(dead, grantstore.ErrConsumed) {
				return nil, fmt.Errorf("got %w, want ErrConsumed", dead)
			}
			return found, err
		}),
	"Batch": trip(func(b *grantstore.Batch) *pb.ApplyBatchRequest { return wire.FromBatch(b, now) }, wire.ToBatch),
	"GrantQuery": trip(func(q *grantstore.Query) *pb.QueryGrantsRequest { return wire.FromGrantQuery(*q, now) },
		sure(wire.ToGrantQuery)),
	"GrantPage": trip(func(p *grantstore.Page) *pb.QueryGrantsResponse {
		for i := range p.Grants {
			p.Grants[i].Data = nil
		}
		return wire.FromGrantPage(p)
	}, wire.ToGrantPage),
	"Ending": trip(func(e *logout.Ending) *pb.EndSessionsRequest { return wire.FromEnding(e, now) },
		func(m *pb.EndSessionsRequest) (*logout.Ending, error) { return wire.ToEnding(m), nil }),
	"Result":  trip(wire.FromResult, func(m *pb.EndSessionsResponse) (*logout.Result, error) { return wire.ToResult(m), nil }),
	"Sweep":   trip(func(s *logout.Sweep) *pb.EndDueSessionsRequest { return wire.FromSweep(*s, now) }, sure(wire.ToSweep)),
	"Swept":   trip(wire.FromSwept, wire.ToSwept),
	"Claim":   trip(func(c *logout.Claim) *pb.ClaimDeliveriesRequest { return wire.FromClaim(*c, now) }, pointer(wire.ToClaim)),
	"Claimed": trip(wire.FromClaimed, wire.ToClaimed),
	"Outcome": trip(func(o *logout.Outcome) *pb.SettleDeliveryRequest { return wire.FromSettlement("n", 1, *o, now) },
		pointer(wire.ToOutcome)),
	"DeliveryQuery": trip(func(q *logout.NotificationQuery) *pb.QueryDeliveriesRequest { return wire.FromDeliveryQuery(*q) },
		sure(wire.ToDeliveryQuery)),
	"DeliveryPage": trip(wire.FromDeliveryPage, wire.ToDeliveryPage),
	"Job":          trip(wire.FromJob, wire.ToJob),
	"Retry":        trip(func(v *logout.Retry) *pb.RetryDeliveryRequest { return wire.FromRetry(*v, now) }, sure(wire.ToRetry)),
	"Retried":      trip(wire.FromRetried, wire.ToRetried),
	"Removal":      trip(func(v *grantstore.Removal) *pb.RemoveGrantsRequest { return wire.FromRemoval(*v, now) }, pointer(wire.ToRemoval)),
	"Removed": trip(wire.FromRemoved,
		func(m *pb.RemoveGrantsResponse) (*grantstore.RemovalResult, error) { return wire.ToRemoved(m), nil }),
	"Notification": trip(wire.FromNotification, wire.ToNotification),
}

func pointer[M, T any](to func(M) (T, error)) func(M) (*T, error) {
	return func(m M) (*T, error) { v, err := to(m); return &v, err }
}

func sure[M, T any](to func(M) T) func(M) (*T, error) {
	return func(m M) (*T, error) { v := to(m); return &v, nil }
}

// trip returns a check of From and To against each other, with the message encoded and decoded between them.
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
			return fmt.Errorf("back from the wire: %w", err)
		}
		if diff := cmp.Diff(sent, got, cmpopts.EquateEmpty()); diff != "" {
			return fmt.Errorf("changed on the wire (-sent +got):\n%s", diff)
		}
		return nil
	}
}

// fill sets a value at random: any of its fields may be left zero.
func fill(r *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		if r.IntN(4) > 0 {
			v.Set(reflect.ValueOf(time.Unix(r.Int64N(200e9)-60e9, r.Int64N(1e9)).UTC()))
		}
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

// readers are all the conversions of a message, whichever side reads it.
var readers = map[string]func(raw []byte){
	"Session": reads(wire.ToSession), "Detail": reads(wire.ToDetail), "Page": reads(wire.ToPage), "Renewal": reads(pointer(wire.ToRenewal)),
	"Rekey": reads(pointer(wire.ToRekey)), "SessionQuery": reads(pointer(wire.ToSessionQuery)), "Ref": reads(pointer(wire.ToRef)),
	"Found": reads(func(m *pb.GetGrantResponse) (*grantstore.GetResult, error) {
		found, _, err := wire.ToFound(m)
		return found, err
	}),
	"Batch": reads(wire.ToBatch), "GrantQuery": reads(sure(wire.ToGrantQuery)), "GrantPage": reads(wire.ToGrantPage),
	"Ending": reads(func(m *pb.EndSessionsRequest) (*logout.Ending, error) { return wire.ToEnding(m), nil }),
	"Result": reads(func(m *pb.EndSessionsResponse) (*logout.Result, error) { return wire.ToResult(m), nil }),
	"Sweep":  reads(sure(wire.ToSweep)), "Swept": reads(wire.ToSwept), "Claim": reads(pointer(wire.ToClaim)), "Claimed": reads(wire.ToClaimed),
	"Outcome": reads(pointer(wire.ToOutcome)), "DeliveryQuery": reads(sure(wire.ToDeliveryQuery)), "DeliveryPage": reads(wire.ToDeliveryPage),
	"Notification": reads(wire.ToNotification), "Job": reads(wire.ToJob), "Retry": reads(sure(wire.ToRetry)), "Retried": reads(wire.ToRetried),
	"Removal": reads(pointer(wire.ToRemoval)),
	"Removed": reads(func(m *pb.RemoveGrantsResponse) (*grantstore.RemovalResult, error) { return wire.ToRemoved(m), nil }),
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

// Whatever the other side sends, reading it neither panics nor loops, and every error is one that a caller can tell.
func FuzzFromWire(f *testing.F) {
	for _, message := range []proto.Message{
		&pb.QuerySessionsResponse{Sessions: []*pb.SessionDetail{nil, {Clients: []*pb.ClientUse{nil, {}}}}},
		&pb.ApplyBatchRequest{Store: []*pb.Grant{{}}, Use: &pb.Use{}, Revoke: []*pb.Revocation{{}}},
		&pb.ClaimDeliveriesResponse{Work: []*pb.Delivery{{}}}, wire.FromNotification(&logout.Notification{Queued: now}),
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

// Whatever stands in an error of the other side, it is an error still, and can be told of.
func FuzzError(f *testing.F) {
	for _, err := range []error{
		ticketstore.Invalidf("subject_id", "is \xff"), grantstore.ErrConsumed, fmt.Errorf("%w: gone", ticketstore.ErrUnavailable), errors.New("x"),
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
			t.Skip("gRPC gives no such error")
		}
		err := wire.Error(status.FromProto(message).Err())
		if err == nil {
			t.Fatalf("status %v became no error", message)
		}
		if text := err.Error(); text == "" || !utf8.ValidString(text) {
			t.Fatalf("the error reads %q", text)
		}
		again, _ := wire.Status(err)
		if wire.Error(again) == nil {
			t.Fatalf("%v is no error when it is sent on", err)
		}
	})
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	if _, err := wire.Key("key", make([]byte, 31)); !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("a key of 31 bytes: got %v, want ErrInvalid", err)
	}
	if _, err := wire.Now(nil); !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("no now: got %v, want ErrInvalid", err)
	}
	far := wire.FromTime(time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC))
	if _, err := wire.Now(far); !errors.Is(err, ticketstore.ErrInvalid) {
		t.Errorf("the year 12000: got %v, want ErrInvalid", err)
	}
	if _, err := wire.ToSession(nil); err == nil {
		t.Error("no session at all: got no error")
	}
	request := wire.FromEnding(&logout.Ending{ClientIDs: []string{}}, now)
	if ending := wire.ToEnding(request); ending.ClientIDs == nil {
		t.Error("an empty selection of clients turned into every client")
	}
}
