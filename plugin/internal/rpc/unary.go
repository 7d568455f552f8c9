package rpc

// Ordinary unary calls, and the metadata of their requests and answers.

import (
	"context"
	"errors"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Unary is a gRPC connection whose calls can be traced.
type Unary struct{ grpc.ClientConnInterface }

var _ grpc.ClientConnInterface = Unary{}

// Invoke implements grpc.ClientConnInterface.
func (u Unary) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	traced := tracedBy(options)
	if traced == nil {
		return u.ClientConnInterface.Invoke(ctx, method, request, answer, options...)
	}
	var trailer metadata.MD
	err := u.ClientConnInterface.Invoke(metadata.AppendToOutgoingContext(ctx, traceparentKey, traced.parent),
		method, request, answer, append(options, grpc.Trailer(&trailer))...)
	if told := trailer.Get(spansKey); len(told) > 0 {
		traced.spans = []byte(told[0])
	}
	return err
}

// invoke makes a call and returns the position of its answer, if it has one (kills.proto).
func (u Unary) invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) (position uint64, hasPosition bool, err error) {
	var trailer metadata.MD
	err = u.Invoke(ctx, method, request, answer, append(options, grpc.Trailer(&trailer))...)
	values := trailer.Get(positionKey)
	if len(values) == 0 {
		return 0, false, err
	}
	position, bad := strconv.ParseUint(values[0], 10, 64)
	if bad != nil {
		return 0, false, errors.New("plugin gave a broken answer: a position that is no number")
	}
	return position, true, err
}
