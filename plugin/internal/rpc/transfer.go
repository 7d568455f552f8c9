package rpc

// TransferService, client and server.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"google.golang.org/grpc"

	"github.com/fosite-sessions/sessions"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var (
	getTransferStatus = repeatable(pb.TransferService_GetTransferStatus_FullMethodName, "get transfer status")
	setTransferState  = method{
		path: pb.TransferService_SetTransferState_FullMethodName, name: "set transfer state",
		idempotent: true, long: true,
	}
	exportRecords = method{path: pb.TransferService_ExportRecords_FullMethodName, name: "export records"}
	listChanges   = repeatable(pb.TransferService_ListChanges_FullMethodName, "list changes")
	importRecords = method{path: pb.TransferService_ImportRecords_FullMethodName, name: "import records"}
)

// Transfer is a transfer.Store in a plugin. Its streams are bounded only by their contexts, because their
// duration grows with the store. A plugin that hangs is killed by its health check, which ends them.
type Transfer struct{ Caller *Caller }

var _ transfer.Store = (*Transfer)(nil)

// Status implements transfer.Store.
func (t *Transfer) Status(ctx context.Context) (*transfer.Status, error) {
	return ask(ctx, t.Caller, &getTransferStatus, &pb.GetTransferStatusRequest{}, wire.ToTransferStatus, nil)
}

// Become implements transfer.Store.
func (t *Transfer) Become(ctx context.Context, turn transfer.Transition) error {
	request := &pb.SetTransferStateRequest{
		State: string(turn.To), Id: turn.ID, Peer: turn.Peer, PeerStore: turn.PeerStore,
		Followed: turn.Followed,
	}
	_, err := invoke[pb.SetTransferStateResponse](ctx, t.Caller, &setTransferState, request)
	return err
}

// Changes implements transfer.Store.
func (t *Transfer) Changes(
	ctx context.Context, id string, after uint64, limit int,
) (*transfer.Changes, error) {
	if err := ticketstore.CheckPositive("limit", limit); err != nil {
		return nil, err
	}
	request := &pb.ListChangesRequest{Id: id, After: after, Limit: uint32(limit)}
	read := func(answer *pb.ListChangesResponse) (*transfer.Changes, error) {
		records, err := wire.ToRecords(answer.GetRecords())
		return &transfer.Changes{Records: records, Through: answer.GetThrough(), Left: answer.GetLeft()}, err
	}
	return ask(ctx, t.Caller, &listChanges, request, read, func(c *transfer.Changes) error {
		switch {
		case len(c.Records) > limit || c.Through < after:
			return fmt.Errorf("%d records through %d after %d", len(c.Records), c.Through, after)
		case c.Left > 0 && c.Through == after:
			return fmt.Errorf("%d changes left, and none named after %d", c.Left, after)
		}
		return nil
	})
}

// Export implements transfer.Store.
func (t *Transfer) Export(ctx context.Context, after []byte) iter.Seq2[*transfer.Batch, error] {
	return func(yield func(*transfer.Batch, error) bool) {
		at := after
		streaming, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := pb.NewTransferServiceClient(t.Caller.Conn).ExportRecords(streaming,
			&pb.ExportRecordsRequest{After: after})
		for err == nil {
			var message *pb.ExportRecordsResponse
			if message, err = stream.Recv(); err != nil {
				break
			}
			batch, wrong := toBatch(message, at)
			if wrong != nil {
				yield(nil, broken(&exportRecords, "%v", wrong))
				return
			}
			at = batch.Position
			if !yield(batch, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, streamError(ctx, &exportRecords, err))
		}
	}
}

// toBatch converts a batch. Its position must differ from at, that of the batch before.
func toBatch(message *pb.ExportRecordsResponse, at []byte) (*transfer.Batch, error) {
	records, err := wire.ToRecords(message.GetRecords())
	batch := &transfer.Batch{Records: records, Position: message.GetPosition()}
	switch {
	case err != nil:
		return nil, err
	case len(records) == 0 || len(batch.Position) == 0:
		return nil, errors.New("a batch without records or position")
	case bytes.Equal(batch.Position, at):
		return nil, errors.New("a position that leads nowhere")
	}
	return batch, nil
}

// Import implements transfer.Store.
func (t *Transfer) Import(ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error]) error {
	streaming, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewTransferServiceClient(t.Caller.Conn).ImportRecords(streaming)
	if err != nil {
		return streamError(ctx, &importRecords, err)
	}
	for records, err := range batches {
		if err != nil {
			return err
		}
		err = stream.Send(&pb.ImportRecordsRequest{Id: id, Records: wire.FromRecords(records)})
		if errors.Is(err, io.EOF) {
			break // the answer has the error
		}
		if err != nil {
			return streamError(ctx, &importRecords, err)
		}
	}
	if _, err = stream.CloseAndRecv(); err != nil {
		return streamError(ctx, &importRecords, err)
	}
	return nil
}

func streamError(ctx context.Context, m *method, err error) error {
	return &callError{method: m.name, err: outcome(ctx, wire.Error(err), true, 0)}
}

// Mover is a backend that can be moved.
type Mover interface {
	Transfer() transfer.Store
}

// errNotServed is returned for a backend that cannot be moved.
var errNotServed = ticketstore.Invalidf("service", "transfer is not served by this backend")

// toMove returns the store of a backend that can be moved.
func toMove(b sessions.Backend) (transfer.Store, error) {
	if mover, ok := b.(Mover); ok && mover.Transfer() != nil {
		return mover.Transfer(), nil
	}
	return nil, errNotServed
}

// handleMove is handle for a backend that can be moved.
func handleMove[Request, Answer any](
	m *method, ask func(ctx context.Context, store transfer.Store, request *Request) (*Answer, error),
) *handler {
	return handle(m, func(ctx context.Context, b sessions.Backend, request *Request) (*Answer, error) {
		store, err := toMove(b)
		if err != nil {
			return nil, err
		}
		return ask(ctx, store, request)
	})
}

var transferHandlers = []*handler{
	handleMove(&getTransferStatus, func(
		ctx context.Context, store transfer.Store, _ *pb.GetTransferStatusRequest,
	) (*pb.GetTransferStatusResponse, error) {
		status, err := store.Status(ctx)
		return toAnswer(status, err, wire.FromTransferStatus)
	}),
	handleMove(&setTransferState, func(
		ctx context.Context, store transfer.Store, r *pb.SetTransferStateRequest,
	) (*pb.SetTransferStateResponse, error) {
		return &pb.SetTransferStateResponse{}, store.Become(ctx, transfer.Transition{
			To: transfer.State(r.GetState()), ID: r.GetId(), Peer: r.GetPeer(),
			PeerStore: r.GetPeerStore(), Followed: r.GetFollowed(),
		})
	}),
	handleMove(&listChanges, func(
		ctx context.Context, store transfer.Store, r *pb.ListChangesRequest,
	) (*pb.ListChangesResponse, error) {
		changes, err := store.Changes(ctx, r.GetId(), r.GetAfter(), int(r.GetLimit()))
		return toAnswer(changes, err, func(c *transfer.Changes) *pb.ListChangesResponse {
			return &pb.ListChangesResponse{
				Records: wire.FromRecords(c.Records), Through: c.Through, Left: c.Left,
			}
		})
	}),
}

// transferServer serves the streams of TransferService.
type transferServer struct {
	pb.UnimplementedTransferServiceServer
	server *Server
}

func (t *transferServer) ExportRecords(
	r *pb.ExportRecordsRequest, stream grpc.ServerStreamingServer[pb.ExportRecordsResponse],
) error {
	return t.stream(stream.Context(), exportRecords.name,
		func(ctx context.Context, store transfer.Store) error {
			for batch, err := range store.Export(ctx, r.GetAfter()) {
				if err != nil {
					return err
				}
				err = stream.Send(&pb.ExportRecordsResponse{
					Records: wire.FromRecords(batch.Records), Position: batch.Position,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
}

func (t *transferServer) ImportRecords(
	stream grpc.ClientStreamingServer[pb.ImportRecordsRequest, pb.ImportRecordsResponse],
) error {
	err := t.stream(stream.Context(), importRecords.name,
		func(ctx context.Context, store transfer.Store) error {
			for {
				message, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				records, err := wire.ToRecords(message.GetRecords())
				if err != nil {
					return err
				}
				err = store.Import(ctx, message.GetId(), func(yield func([]transfer.Record, error) bool) {
					yield(records, nil)
				})
				if err != nil {
					return err
				}
			}
		})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.ImportRecordsResponse{})
}

// stream runs a streaming call. It returns when the server closes, even if the other side is still awaited.
func (t *transferServer) stream(
	ctx context.Context, name string, call func(ctx context.Context, store transfer.Store) error,
) error {
	ended := make(chan error, 1)
	go func() {
		_, err := serve(ctx, t.server, name, func(b sessions.Backend) (*struct{}, error) {
			store, err := toMove(b)
			if err == nil {
				err = call(ctx, store)
			}
			return &struct{}{}, err
		})
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-t.server.leaving.Done():
		return t.server.status(ctx, name, ticketstore.ErrUnavailable)
	}
}
