package rpc_test

// How a host validates kills and positions.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// killConn is a connection to a plugin that streams these kills, and answers calls with this trailer.
type killConn struct {
	kills   []*pb.KillsResponse
	trailer metadata.MD
	err     error // of calls
}

func (c *killConn) Invoke(_ context.Context, _ string, _, _ any, options ...grpc.CallOption) error {
	for _, option := range options {
		if trailer, ok := option.(grpc.TrailerCallOption); ok {
			*trailer.TrailerAddr = c.trailer
		}
	}
	return c.err
}

func (c *killConn) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return &sentKills{left: c.kills}, nil
}

type sentKills struct {
	grpc.ClientStream
	left []*pb.KillsResponse
}

func (s *sentKills) SendMsg(any) error { return nil }
func (s *sentKills) CloseSend() error  { return nil }

func (s *sentKills) RecvMsg(message any) error {
	if len(s.left) == 0 {
		return errors.New("no more")
	}
	proto.Merge(message.(proto.Message), s.left[0])
	s.left = s.left[1:]
	return nil
}

func TestDistrustOfKills(t *testing.T) {
	t.Parallel()
	begin := &pb.KillsResponse{Position: 7}
	for name, second := range map[string]*pb.KillsResponse{
		"a skipped position":      {Position: 9},
		"the same position again": {Position: 7},
		"a lower position":        {Position: 1},
		"a malformed reference":   {Position: 8, Refs: [][]byte{[]byte("x")}},
		"a sid that is too long":  {Position: 8, SessionIds: []string{strings.Repeat("x", 513)}},
		"too many names":          {Position: 8, SessionIds: make([]string, kills.MaxNames+1)},
	} {
		source := &rpc.Kills{Conn: &killConn{kills: []*pb.KillsResponse{begin, second}}}
		var got []*grantstore.Kill
		var end error
		for kill, err := range source.Follow(t.Context()) {
			if end = err; err == nil {
				got = append(got, kill)
			}
		}
		if len(got) != 1 || end == nil || !strings.Contains(end.Error(), "broken answer") {
			t.Errorf("%s: got %d kills and %v, want the first one and a broken answer", name, len(got), end)
		}
	}
}

func TestPositions(t *testing.T) {
	t.Parallel()
	var awaited []uint64
	for name, c := range map[string]struct {
		said  []string
		err   error // of the backend
		await error
		want  string // of the error
	}{
		"an answer":                      {said: []string{"12"}},
		"an error":                       {said: []string{"13"}, err: grantstore.ErrConsumed, want: "used"},
		"an answer that is not released": {said: []string{"14"}, await: context.Canceled, want: "canceled"},
		"an error that is not released": {
			said: []string{"15"}, err: grantstore.ErrConsumed, await: context.Canceled, want: "canceled",
		},
		"without a position":          {want: "broken answer"},
		"with a malformed position":   {said: []string{"x"}, want: "broken answer"},
		"an error without a position": {err: grantstore.ErrConsumed, want: "broken answer"},
		"a lost connection":           {err: ticketstore.ErrUnavailable, want: "unavailable"},
	} {
		conn := &killConn{trailer: metadata.MD{"sessions-position": c.said}}
		if c.err != nil {
			conn.err, _ = wire.Status(c.err)
		}
		source := &rpc.Kills{Conn: conn}
		held := &rpc.Positioned{Kills: source, Await: func(_ context.Context, position uint64) error {
			awaited = append(awaited, position)
			return c.await
		}}
		err := held.Invoke(t.Context(), "method", nil, nil)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
		if len(c.said) > 0 && c.said[0] != "x" && source.Position() == 0 {
			t.Errorf("%s: its position was not recorded", name)
		}
	}
	if slices.Sort(awaited); !slices.Equal(awaited, []uint64{12, 13, 14, 15}) {
		t.Errorf("awaited %v, want 12 to 15", awaited)
	}
}
