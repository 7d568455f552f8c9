package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// until blocks an engine until the host gives the call up.
func until(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	e := &engine{get: func(ctx context.Context, _ ticketstore.Key) (*ticketstore.Session, error) {
		return nil, until(ctx)
	}}
	e.end = func(ctx context.Context, _ *logout.Ending) (*logout.Result, error) { return nil, until(ctx) }
	caller, _ := configured(t, e)
	// The timeout under test is short, all others are an hour, so that they do not race on a busy machine.
	const bound = 50 * time.Millisecond
	caller.Timeout = bound
	get := func(ctx context.Context) error {
		_, err := (&rpc.Tickets{Caller: caller}).Get(ctx, ticketstore.Key{1})
		return err
	}

	if err := get(t.Context()); !errors.Is(err, ticketstore.ErrUnavailable) ||
		errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call beyond its timeout: got %v, want only ErrUnavailable", err)
	}
	caller.Timeout = time.Hour
	early, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	if err := get(early); !errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a call beyond its deadline: got %v, want only DeadlineExceeded", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(bound, cancel)
	if err := get(canceled); !errors.Is(err, context.Canceled) || errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a canceled call: got %v, want only Canceled", err)
	}

	// Ending sessions has its own timeout.
	caller.Timeout, caller.Long = time.Hour, bound
	_, err := (&rpc.Logout{Caller: caller}).End(t.Context(),
		&logout.Ending{OperationID: "o", SubjectID: "42", Reason: logout.Terminated}, now)
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("an ending beyond its timeout: got %v, want ErrUnavailable", err)
	}
}

// flaky is a connection that loses the first answers, after the plugin has processed the calls.
type flaky struct {
	grpc.ClientConnInterface
	lose  int
	calls int
	err   error
	takes time.Duration // how long a lost answer takes
}

func (f *flaky) Invoke(
	ctx context.Context, method string, request, answer any, options ...grpc.CallOption,
) error {
	f.calls++
	err := f.ClientConnInterface.Invoke(ctx, method, request, answer, options...)
	if f.calls <= f.lose {
		<-time.After(f.takes)
		return f.err
	}
	return err
}

func TestUnknownOutcomesAreResolved(t *testing.T) {
	t.Parallel()
	lost := status.Error(codes.Unavailable, "error reading from server: EOF")
	batch := &grantstore.Batch{OperationID: "op-1", Store: []grantstore.Grant{grant("h")}}
	ending := &logout.Ending{OperationID: "op-2", SubjectID: "42", Reason: logout.Terminated}
	for _, test := range []struct {
		name  string
		lose  int
		err   error
		call  func(context.Context, *rpc.Caller) error
		tries int
		fails bool
	}{
		{"apply again", 1, lost, apply(batch), 2, false},
		{"apply repeatedly", 3, lost, apply(batch), 4, false},
		{"apply given up when the time is up", math.MaxInt, lost, apply(batch), 4, true},
		{"apply without a process", 9, rpc.ErrGone, apply(batch), 1, true},
		{"end again", 2, lost, end(ending), 3, false},
		{"rekey not again", 1, lost, rekey, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var ids atomic.Int32
			e := &engine{rekey: func() (*ticketstore.Session, error) { return session("s"), nil }}
			e.apply = func(b *grantstore.Batch) (*grantstore.Result, error) {
				if b.OperationID == batch.OperationID && len(b.Store) == 1 {
					ids.Add(1)
				}
				return &grantstore.Result{}, nil
			}
			e.end = func(_ context.Context, got *logout.Ending) (*logout.Result, error) {
				if got.OperationID == ending.OperationID {
					ids.Add(1)
				}
				return &logout.Result{}, nil
			}
			caller, _ := configured(t, e)
			conn := &flaky{ClientConnInterface: caller.Conn, lose: test.lose, err: test.err}
			caller.Conn = conn
			if test.lose == math.MaxInt {
				caller.Timeout = 2 * time.Second
			}
			err := test.call(t.Context(), caller)
			// On a busy machine there is no time for so many tries: it is given more.
			for test.lose == math.MaxInt && conn.calls < test.tries && caller.Timeout < testenv.Patience {
				conn.calls, caller.Timeout = 0, 2*caller.Timeout
				err = test.call(t.Context(), caller)
			}
			if conn.calls != test.tries && (test.lose != math.MaxInt || conn.calls < test.tries) {
				t.Errorf("got %d tries, want %d", conn.calls, test.tries)
			}
			if test.fails && !errors.Is(err, ticketstore.ErrUnavailable) {
				t.Errorf("got %v, want ErrUnavailable", err)
			}
			if !test.fails && (err != nil || int(ids.Load()) != test.tries) {
				t.Errorf("got %v and %d calls under the same operation id, want none and %d", err, ids.Load(),
					test.tries)
			}
		})
	}
}

// A long call is retried when its process dies, and joins the operation that it began.
func TestLongCallIsRetried(t *testing.T) {
	t.Parallel()
	e := &engine{}
	e.end = func(context.Context, *logout.Ending) (*logout.Result, error) { return &logout.Result{}, nil }
	caller, _ := configured(t, e)
	caller.Timeout = 20 * time.Millisecond
	conn := &flaky{
		ClientConnInterface: caller.Conn, lose: 1, err: status.Error(codes.Unavailable, "EOF"),
		takes: 2 * caller.Timeout,
	}
	caller.Conn = conn
	err := end(&logout.Ending{OperationID: "op", SubjectID: "42", Reason: logout.Terminated})(t.Context(),
		caller)
	if err != nil || conn.calls != 2 {
		t.Errorf("got %v after %d tries, want the answer of the second", err, conn.calls)
	}
}

func apply(batch *grantstore.Batch) func(context.Context, *rpc.Caller) error {
	return func(ctx context.Context, caller *rpc.Caller) error {
		_, err := (&rpc.Grants{Caller: caller}).Apply(ctx, batch, now)
		return err
	}
}

func end(ending *logout.Ending) func(context.Context, *rpc.Caller) error {
	return func(ctx context.Context, caller *rpc.Caller) error {
		_, err := (&rpc.Logout{Caller: caller}).End(ctx, ending, now)
		return err
	}
}

func rekey(ctx context.Context, caller *rpc.Caller) error {
	_, err := (&rpc.Tickets{Caller: caller}).Rekey(ctx, ticketstore.Rekey{NewKey: session("s").Key}, now)
	return err
}

func TestLostConnection(t *testing.T) {
	t.Parallel()
	e := &engine{get: func(ctx context.Context, _ ticketstore.Key) (*ticketstore.Session, error) {
		return nil, until(ctx)
	}}
	server := &rpc.Server{Open: func(context.Context, []byte) (sessions.Backend, error) { return e, nil }}
	caller, grpcServer := serve(t, server.Register)
	if err := caller.Configure(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	caller.Timeout = 200 * time.Millisecond
	time.AfterFunc(20*time.Millisecond, grpcServer.Stop)
	_, err := (&rpc.Tickets{Caller: caller}).Get(t.Context(), ticketstore.Key{1})
	if !errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("a call over a lost connection: got %v, want ErrUnavailable", err)
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", ticketstore.MaxText)
	row := func(i int) ticketstore.SessionDetail {
		s := *session(fmt.Sprintf("s%d", i))
		s.DisplayName, s.ACR, s.RemoteAddr, s.UserAgent = long, long, long, long
		for range ticketstore.MaxAMR {
			s.AMR = append(s.AMR, long[:ticketstore.MaxID])
		}
		return ticketstore.SessionDetail{Session: s}
	}
	var clients []ticketstore.ClientUse
	e := &engine{query: func(q ticketstore.SessionQuery) (*ticketstore.Page, error) {
		page := &ticketstore.Page{ResultsToken: "t", TotalCount: -1, TotalPages: -1, CurrentPage: -1}
		for i := range q.Count {
			page.Sessions = append(page.Sessions, row(i))
			page.Sessions[i].Clients = clients
		}
		return page, nil
	}}
	var data int
	e.apply = func(b *grantstore.Batch) (*grantstore.Result, error) {
		for i := range b.Store {
			data += len(b.Store[i].Data)
		}
		return &grantstore.Result{}, nil
	}
	caller, _ := configured(t, e)

	page, err := (&rpc.Tickets{Caller: caller}).Query(t.Context(),
		ticketstore.SessionQuery{Count: ticketstore.MaxCount})
	if err != nil || len(page.Sessions) != ticketstore.MaxCount {
		t.Errorf("a page of %d of the largest sessions: got %v", ticketstore.MaxCount, err)
	}
	batch := &grantstore.Batch{OperationID: "o"}
	for i := range grantstore.MaxBatch {
		g := grant(fmt.Sprint(i))
		g.Data, g.Description = bytes.Repeat([]byte("x"), grantstore.MaxBatchData/grantstore.MaxBatch), long
		batch.Store = append(batch.Store, g)
	}
	if err := apply(batch)(t.Context(), caller); err != nil || data != grantstore.MaxBatchData {
		t.Errorf("the largest batch: got %v and %d bytes, want none and %d", err, data,
			grantstore.MaxBatchData)
	}

	for range 100 {
		clients = append(clients,
			ticketstore.ClientUse{ClientID: long[:ticketstore.MaxID], FirstUsed: now, LastUsed: now})
	}
	_, err = (&rpc.Tickets{Caller: caller}).Query(t.Context(),
		ticketstore.SessionQuery{Count: ticketstore.MaxCount})
	if err == nil || errors.Is(err, ticketstore.ErrNotFound) || errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("an answer over the limit: got %v, want an error of no known kind", err)
	}
}
