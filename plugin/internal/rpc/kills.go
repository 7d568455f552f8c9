package rpc

// KillsService, client and server, and the positions of answers (rule 15).

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var (
	streamKills = method{path: pb.KillsService_Kills_FullMethodName, name: "kills"}
	askLease    = method{path: pb.KillsService_Lease_FullMethodName, name: "lease"}
)

const (
	// maxLease bounds a lease that a plugin may give, leaseTimeout how long it may take for that.
	maxLease     = time.Minute
	leaseTimeout = 10 * time.Second
)

// positionKey is the trailing metadata with the position of an answer.
const positionKey = "sessions-position"

// Kills is the grantstore.Kills of a plugin. Only its context bounds a sequence.
type Kills struct {
	// Conn is the connection to one process: positions are its own.
	Conn grpc.ClientConnInterface

	position atomic.Uint64
}

var (
	_ grantstore.Kills  = (*Kills)(nil)
	_ grantstore.Leases = (*Kills)(nil)
)

// Position implements grantstore.Kills: it is the latest of the answers that came through Positioned.
func (k *Kills) Position() uint64 { return k.position.Load() }

// answered notes the position of an answer.
func (k *Kills) answered(position uint64) {
	for {
		last := k.position.Load()
		if last >= position || k.position.CompareAndSwap(last, position) {
			return
		}
	}
}

// Follow implements grantstore.Kills. A position that does not follow on the one before is a broken answer.
func (k *Kills) Follow(ctx context.Context) iter.Seq2[*grantstore.Kill, error] {
	return func(yield func(*grantstore.Kill, error) bool) {
		streaming, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := pb.NewKillsServiceClient(k.Conn).Kills(streaming, &pb.KillsRequest{})
		var last *grantstore.Kill
		for err == nil {
			var message *pb.KillsResponse
			if message, err = stream.Recv(); err != nil {
				break
			}
			var kill *grantstore.Kill
			if kill, err = toKill(message, last); err != nil {
				yield(nil, err)
				return
			}
			if last = kill; !yield(kill, nil) {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			yield(nil, broken(&streamKills, "the end of a stream that has none"))
			return
		}
		yield(nil, streamError(ctx, &streamKills, err))
	}
}

// Lease implements grantstore.Leases, of a plugin that serves them. Position is that of the answer, or later.
func (k *Kills) Lease(ctx context.Context, position uint64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	request, answer := &pb.LeaseRequest{Position: position}, &pb.LeaseResponse{}
	at, said, err := invokePositioned(ctx, k.Conn, askLease.path, request, answer)
	if err != nil {
		return 0, &callError{method: askLease.name, err: wire.Error(err)}
	}
	length := time.Duration(answer.GetLease())
	if !said || length <= 0 || length > maxLease {
		return 0, broken(&askLease, "a lease of %v, with a position: %t", length, said)
	}
	k.answered(at)
	return length, nil
}

// toKill reads the kill that follows on last, nil for the first message.
func toKill(message *pb.KillsResponse, last *grantstore.Kill) (*grantstore.Kill, error) {
	kill := &grantstore.Kill{
		Position: message.GetPosition(), All: message.GetAll(), Sessions: message.GetSessionIds(),
	}
	if last != nil && kill.Position != last.Position+1 {
		return nil, broken(&streamKills, "position %d behind %d", kill.Position, last.Position)
	}
	if n := len(message.GetSessionIds()) + len(message.GetRefs()); n > kills.MaxNames {
		return nil, broken(&streamKills, "%d names", n)
	}
	for _, sid := range kill.Sessions {
		if len(sid) > ticketstore.MaxID {
			return nil, broken(&streamKills, "a session id of %d bytes", len(sid))
		}
	}
	for _, b := range message.GetRefs() {
		ref, ok := records.RefOf(b)
		if !ok {
			return nil, broken(&streamKills, "a ref of %d bytes", len(b))
		}
		kill.Grants = append(kill.Grants, ref)
	}
	return kill, nil
}

// Positioned is a connection whose answers, errors among them, are handed on when Await returns.
type Positioned struct {
	*Kills
	// Await waits until what keeps copies has come as far as a position. Its error, that of ctx, takes the
	// place of the answer: what was not handed on was not acknowledged.
	Await func(ctx context.Context, position uint64) error
}

// Invoke implements grpc.ClientConnInterface.
func (p *Positioned) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	position, said, err := invokePositioned(ctx, p.Conn, method, request, answer, options...)
	if !said {
		if ofBackend(err) {
			return fmt.Errorf("plugin gave a broken answer: one without its position (%s)", status.Code(err))
		}
		return err
	}
	p.answered(position)
	if late := p.Await(ctx, position); late != nil {
		return status.FromContextError(late).Err()
	}
	return err
}

// ofBackend reports whether a call was answered by the backend, with an error or without: others are of the
// connection, or of what stands before the backend. An error may acknowledge too: a token that is used again
// has its family revoked (rule 3).
func ofBackend(err error) bool {
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.Aborted,
		codes.FailedPrecondition:
		return true
	}
	return false
}

// invokePositioned makes a call and returns the position of its answer, or error, where that says one.
func invokePositioned(
	ctx context.Context, conn grpc.ClientConnInterface, method string, request, answer any,
	options ...grpc.CallOption,
) (position uint64, said bool, err error) {
	switch conn := conn.(type) {
	case *Multiplexer:
		return conn.invoke(ctx, method, request, answer, options...)
	case Unary:
		return conn.invoke(ctx, method, request, answer, options...)
	}
	return Unary{conn}.invoke(ctx, method, request, answer, options...)
}

// NewStream implements grpc.ClientConnInterface. Streams have no position: they acknowledge nothing.
func (p *Positioned) NewStream(
	ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return p.Conn.NewStream(ctx, description, method, options...)
}

// Killer is a backend whose access tokens may be cached.
type Killer interface {
	Kills() grantstore.Kills
}

// killsOf returns nil for a backend that streams no kills.
func killsOf(backend sessions.Backend) grantstore.Kills {
	if killer, ok := backend.(Killer); ok {
		return killer.Kills()
	}
	return nil
}

// sayPosition gives the answer to a call that has ended its position.
func sayPosition(ctx context.Context, backend sessions.Backend) {
	source := killsOf(backend)
	if source == nil {
		return
	}
	position := source.Position()
	if call := runningCallOf(ctx); call != nil {
		call.position = &position
		return
	}
	_ = grpc.SetTrailer(ctx, metadata.Pairs(positionKey, strconv.FormatUint(position, 10)))
}

type killsServer struct {
	pb.UnimplementedKillsServiceServer
	server *Server
}

// Kills streams kills until the host, the server or the backend goes. That it does is nothing to log.
func (k *killsServer) Kills(
	_ *pb.KillsRequest, stream grpc.ServerStreamingServer[pb.KillsResponse],
) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(k.server.leaving, cancel)()
	var ended error
	_, err := serve(ctx, k.server, streamKills.name, func(b sessions.Backend) (*struct{}, error) {
		source := killsOf(b)
		if source == nil {
			return nil, errNoKills
		}
		for kill, err := range source.Follow(ctx) {
			if err == nil {
				err = stream.Send(fromKill(kill))
			}
			if err != nil {
				ended = err
				break
			}
		}
		return &struct{}{}, nil
	})
	if ended != nil {
		err, _ = wire.Status(ended)
	}
	return err
}

// Lease gives a lease, where the backend does.
func (k *killsServer) Lease(ctx context.Context, request *pb.LeaseRequest) (*pb.LeaseResponse, error) {
	return serve(ctx, k.server, askLease.name, func(b sessions.Backend) (*pb.LeaseResponse, error) {
		leases, ok := killsOf(b).(grantstore.Leases)
		if !ok {
			return nil, errNoKills
		}
		length, err := leases.Lease(ctx, request.GetPosition())
		return &pb.LeaseResponse{Lease: int64(length)}, err
	})
}

var errNoKills = ticketstore.Invalidf("service", "kills is not served by this backend")

func fromKill(kill *grantstore.Kill) *pb.KillsResponse {
	message := &pb.KillsResponse{Position: kill.Position, All: kill.All, SessionIds: kill.Sessions}
	for _, ref := range kill.Grants {
		message.Refs = append(message.Refs, records.RefBytes(ref))
	}
	return message
}
