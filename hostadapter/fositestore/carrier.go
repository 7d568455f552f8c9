package fositestore

// carrier holds what one request has read and will write, across all of fosite's calls.

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"weak"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// carrier accompanies one request through all of fosite's calls. It caches reads, gathers writes into one
// batch, and records why the store failed, which fosite's errors often omit.
type carrier struct {
	// request is the context of the HTTP request, which has the middleware's holder. Hosts may pass another
	// context to fosite.
	request context.Context
	// keepsPushed: a pushed request is removed when it is answered, not when fosite reads it.
	keepsPushed bool
	// revoking: the request revokes a token (RFC 7009).
	revoking bool
	// marked: the request came back with a mark of Sessions.ReturnURL.
	marked bool

	mu sync.Mutex
	// rows and clients are short: at most three and one, in a code exchange. The arrays hold those of an
	// introspection without allocating.
	rows       []*row
	clients    []fosite.Client
	oneRow     [1]*row
	twoClients [2]fosite.Client
	// legacy are requests read from the host's own store.
	legacy map[grantstore.Ref]fosite.Requester
	// batch gathers writes during a call of fosite's. If it is nil, each write is applied separately.
	batch *grantstore.Batch
	// committed are the transactions of that call. Each is a batch of its own: the store gives what a batch
	// stores the family of what it consumes.
	committed []*grantstore.Batch
	// unproved are refresh tokens that may have been read from a stale copy, until the store checks them
	// (prove).
	unproved []*row
	// failure is the first error that leaves the state of the store unknown.
	failure error
	// first is the context of fosite's first call, embedded because most requests make one call.
	first carrying
}

// carrying is a context that holds a carrier.
type carrying struct {
	context.Context //nolint:containedctx // it adds a value to it
	carrier         *carrier
}

type carrierKey struct{}

func newCarrier(request context.Context) *carrier {
	c := &carrier{request: request}
	c.rows, c.clients = c.oneRow[:0], c.twoClients[:0]
	return c
}

func (c *carrier) into(ctx context.Context) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first.Context == nil {
		c.first = carrying{ctx, c}
		return &c.first
	}
	return &carrying{ctx, c}
}

// Value implements context.Context.
func (c *carrying) Value(key any) any {
	if key == (carrierKey{}) {
		return c.carrier
	}
	return c.Context.Value(key)
}

// startBatch starts gathering writes until takeBatch is called.
func (c *carrier) startBatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batch = &grantstore.Batch{}
}

// takeBatch stops gathering and returns the transactions and the batch. If the call failed, only deletions
// and revocations remain, and transactions of nothing else: fosite revokes a family in such a transaction.
func (c *carrier) takeBatch(failed bool) (committed []*grantstore.Batch, batch *grantstore.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	committed, batch = c.committed, c.batch
	c.committed, c.batch = nil, nil
	if failed {
		committed = slices.DeleteFunc(committed, func(b *grantstore.Batch) bool {
			return b.Consume != nil || len(b.Store) > 0
		})
		batch = &grantstore.Batch{Delete: batch.Delete, Revoke: batch.Revoke}
	}
	return committed, batch
}

// postpone keeps a transaction until the call ends, and reports whether there is one.
func (c *carrier) postpone(batch *grantstore.Batch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.batch != nil {
		c.committed = append(c.committed, batch)
	}
	return c.batch != nil
}

// change applies the change to the gathered batch and reports whether there is a batch.
func (c *carrier) change(change func(*grantstore.Batch) error) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.batch == nil {
		return false, nil
	}
	return true, change(c.batch)
}

// row returns a cached row, or nil.
func (c *carrier) row(ref grantstore.Ref) *row {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.grant.Ref == ref {
			return r
		}
	}
	return nil
}

// hasCode reports whether a code was read together with its family. A moved code does not count: its OpenID
// record stays in the host's store.
func (c *carrier) hasCode() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hasRead(grantstore.AuthorizationCode, false)
}

// hasRead reports whether a row of a type was read that was, or was not, moved from the host's store. The
// caller holds mu.
func (c *carrier) hasRead(t grantstore.Type, moved bool) bool {
	return slices.ContainsFunc(c.rows, func(r *row) bool { return r.grant.Type == t && r.moved() == moved })
}

// revokes reports whether the request revokes a token.
func (c *carrier) revokes() bool { return c != nil && c.revoking }

// keep caches rows, replacing earlier rows of the same grants.
func (c *carrier) keep(rows ...*row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		c.rows = slices.DeleteFunc(c.rows, func(old *row) bool { return old.grant.Ref == r.grant.Ref })
		c.rows = append(c.rows, r)
	}
}

// note records an error that leaves the state of the store unknown.
func (c *carrier) note(err error) {
	if c == nil || err == nil || isAnswer(err) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil || (isUnavailable(err) && !isUnavailable(c.failure)) {
		c.failure = err
	}
}

func (c *carrier) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// answers are the definite answers about a grant from a working store.
var answers = []error{
	ticketstore.ErrNotFound, grantstore.ErrConsumed, grantstore.ErrSessionEnded, ticketstore.ErrExists,
	ticketstore.ErrInvalid, ticketstore.ErrTooManyClients, ticketstore.ErrConflict, errRefused,
}

// isAnswer reports whether the error is one of answers.
func isAnswer(err error) bool {
	return slices.ContainsFunc(answers, func(answer error) bool { return errors.Is(err, answer) })
}

// isUnavailable reports whether a retry may succeed.
func isUnavailable(err error) bool { return hostadapter.IsUnavailable(err) }

// carriers maps requests that fosite returned to their carriers. It holds the requests weakly and drops an
// entry when its request is collected.
type carriers struct {
	mu      sync.Mutex
	entries map[weak.Pointer[fosite.Request]]*carrier
}

// handleOf returns a weak handle of a request of fosite's own types, or zero for any other type.
func handleOf(request fosite.Requester) (common *fosite.Request, handle weak.Pointer[fosite.Request]) {
	switch r := request.(type) {
	case *fosite.AccessRequest:
		if r != nil {
			common = &r.Request
		}
	case *fosite.AuthorizeRequest:
		if r != nil {
			common = &r.Request
		}
	}
	return common, weak.Make(common)
}

// bind associates the carrier with a request. Requests of types other than fosite's are ignored.
func (m *carriers) bind(request fosite.Requester, c *carrier) {
	m.ofOr(request, func() *carrier { return c })
}

// of returns the carrier of a request, or nil.
func (m *carriers) of(request fosite.Requester) *carrier {
	_, handle := handleOf(request)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries[handle]
}

// ofOr returns the carrier of a request, creating it if there is none.
func (m *carriers) ofOr(request fosite.Requester, create func() *carrier) *carrier {
	common, handle := handleOf(request)
	if common == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.entries[handle]; ok {
		return c
	}
	if m.entries == nil {
		m.entries = map[weak.Pointer[fosite.Request]]*carrier{}
	}
	c := create()
	m.entries[handle] = c
	runtime.AddCleanup(common, m.forget, handle)
	return c
}

// release drops the carrier of an answered request.
func (m *carriers) release(request fosite.Requester) {
	_, handle := handleOf(request)
	m.forget(handle)
}

func (m *carriers) forget(handle weak.Pointer[fosite.Request]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, handle)
}

// from returns the carrier of a call to the Store: the Provider's, or, without the Provider, one associated
// with fosite's token request.
func (m *carriers) from(ctx context.Context) *carrier {
	if c, ok := ctx.Value(carrierKey{}).(*carrier); ok {
		return c
	}
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(*fosite.AccessRequest)
	if !ok {
		return nil
	}
	// Not ctx: it refers to the request, which could then never be collected.
	return m.ofOr(request, func() *carrier { return newCarrier(context.Background()) })
}
