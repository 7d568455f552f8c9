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
	// maxLease is the longest valid lease, leaseTimeout bounds a request for one.
	maxLease     = time.Minute
	leaseTimeout = 10 * time.Second
)

// positionKey is the trailing metadata key of an answer's position.
const positionKey = "sessions-position"

// Kills is the grantstore.Kills of a plugin. Its sequences are bounded only by their contexts.
type Kills struct {
	// Conn is the connection to one process: positions are valid within it only.
	Conn grpc.ClientConnInterface

	position atomic.Uint64
}

var (
	_ grantstore.Kills  = (*Kills)(nil)
	_ grantstore.Leases = (*Kills)(nil)
)

// Position implements grantstore.Kills: it returns the latest position of the answers received through
// Positioned.
func (k *Kills) Position() uint64 { return k.position.Load() }

// recordPosition records the position of an answer.
func (k *Kills) recordPosition(position uint64) {
	for {
		last := k.position.Load()
		if last >= position || k.position.CompareAndSwap(last, position) {
			return
		}
	}
}

// Follow implements grantstore.Kills. A gap between positions is a broken answer.
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

// Lease implements grantstore.Leases for a plugin that serves leases. Position is at least that of the
// answer.
func (k *Kills) Lease(ctx context.Context, position uint64) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	request, answer := &pb.LeaseRequest{Position: position}, &pb.LeaseResponse{}
	at, hasPosition, err := invokePositioned(ctx, k.Conn, askLease.path, request, answer)
	if err != nil {
		return 0, &callError{method: askLease.name, err: wire.Error(err)}
	}
	length := time.Duration(answer.GetLease())
	if !hasPosition || length <= 0 || length > maxLease {
		return 0, broken(&askLease, "a lease of %v, with a position: %t", length, hasPosition)
	}
	k.recordPosition(at)
	return length, nil
}

// toKill converts the kill that follows last, or the first message if last is nil.
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

// Positioned is a connection that returns answers, errors included, only after Await.
type Positioned struct {
	*Kills
	// Await waits until the cache has reached a position. Its error, that of ctx, replaces the answer: an
	// answer that was not returned is not acknowledged.
	Await func(ctx context.Context, position uint64) error
}

// Invoke implements grpc.ClientConnInterface.
func (p *Positioned) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	position, hasPosition, err := invokePositioned(ctx, p.Conn, method, request, answer, options...)
	if !hasPosition {
		if fromBackend(err) {
			return fmt.Errorf("plugin gave a broken answer: one without its position (%s)", status.Code(err))
		}
		return err
	}
	p.recordPosition(position)
	if late := p.Await(ctx, position); late != nil {
		return status.FromContextError(late).Err()
	}
	return err
}

// fromBackend reports whether a call was answered by the backend, successfully or not: other errors come from
// the connection or from the server in front of the backend. An error may acknowledge a change too: the reuse
// of a token revokes its family (rule 3).
func fromBackend(err error) bool {
	switch status.Code(err) {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.Aborted,
		codes.FailedPrecondition:
		return true
	}
	return false
}

// invokePositioned makes a call and returns the position of its answer or error, if it has one.
func invokePositioned(
	ctx context.Context, conn grpc.ClientConnInterface, method string, request, answer any,
	options ...grpc.CallOption,
) (position uint64, hasPosition bool, err error) {
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

// killsOf returns the kills of a backend, or nil if it streams none.
func killsOf(backend sessions.Backend) grantstore.Kills {
	if killer, ok := backend.(Killer); ok {
		return killer.Kills()
	}
	return nil
}

// setPosition adds the position to the answer of a finished call.
func setPosition(ctx context.Context, backend sessions.Backend) {
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

// killsServer serves the stream of KillsService.
type killsServer struct {
	pb.UnimplementedKillsServiceServer
	server *Server
}

// Kills streams kills until the host, the server or the backend ends, which is not logged.
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

var killHandlers = []*handler{
	handle(&askLease, func(
		ctx context.Context, b sessions.Backend, request *pb.LeaseRequest,
	) (*pb.LeaseResponse, error) {
		leases, ok := killsOf(b).(grantstore.Leases)
		if !ok {
			return nil, errNoKills
		}
		length, err := leases.Lease(ctx, request.GetPosition())
		return &pb.LeaseResponse{Lease: int64(length)}, err
	}),
}

var errNoKills = ticketstore.Invalidf("service", "kills is not served by this backend")

func fromKill(kill *grantstore.Kill) *pb.KillsResponse {
	message := &pb.KillsResponse{Position: kill.Position, All: kill.All, SessionIds: kill.Sessions}
	for _, ref := range kill.Grants {
		message.Refs = append(message.Refs, records.RefBytes(ref))
	}
	return message
}
