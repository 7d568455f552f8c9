package fositestore

// The carrier: what one request has read, and what it is to write, through all of fosite's calls.

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

// carrier goes along with one request through all of fosite's calls. It remembers what was read, so that
// nothing is read twice, gathers what is to be written, so that it is written once, and notes why the store
// failed, which fosite's errors often do not say.
type carrier struct {
	// request is the context of the HTTP request, in which the middleware's holder is: hosts may pass a
	// context of their own to fosite.
	request context.Context
	// keepsPushed: a pushed authorization request is removed with its answer, not when fosite has read it.
	keepsPushed bool
	// marked: the request came back with a mark of Sessions.ReturnURL.
	marked bool

	mu sync.Mutex
	// rows and clients are few: there are most of them in a code exchange, three and one. There is room for
	// those of an introspection.
	rows       []*row
	clients    []fosite.Client
	oneRow     [1]*row
	twoClients [2]fosite.Client
	// legacy are requests that were read from the host's own store.
	legacy map[grantstore.Ref]fosite.Requester
	// batch gathers writes while the provider is inside a call of fosite's; nil lets them through one by one.
	batch *grantstore.Batch
	// unproved are refresh tokens that may have been read from copies, until the store judges them (prove).
	unproved []*row
	// failure is the first error that means that the answer of a store is not known.
	failure error
	// first is the context of the first of fosite's calls: most requests make one.
	first carrying
}

// carrying is a context with a carrier in it.
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

// gather makes the writes that follow wait for taken.
func (c *carrier) gather() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batch = &grantstore.Batch{}
}

// taken ends the gathering and returns what was gathered. After a failure, what revokes is all that is left
// of it.
func (c *carrier) taken(failed bool) *grantstore.Batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.batch
	c.batch = nil
	if batch != nil && failed {
		batch = &grantstore.Batch{Delete: batch.Delete, Revoke: batch.Revoke}
	}
	return batch
}

// change applies the change to the gathered batch and reports whether there is one.
func (c *carrier) change(change func(*grantstore.Batch) error) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.batch == nil {
		return false, nil
	}
	return true, change(c.batch)
}

func (c *carrier) row(ref grantstore.Ref) *row {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.grant.Ref == ref {
			return r
		}
	}
	return nil
}

// hasCode reports whether a code was read together with its whole family. One that was moved left its OpenID
// record in the host's store.
func (c *carrier) hasCode() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.rows {
		if r.grant.Type == grantstore.AuthorizationCode && !r.moved() {
			return true
		}
	}
	return false
}

// keep remembers rows, each in the place of an earlier one of the same grant.
func (c *carrier) keep(rows ...*row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rows {
		c.rows = slices.DeleteFunc(c.rows, func(old *row) bool { return old.grant.Ref == r.grant.Ref })
		c.rows = append(c.rows, r)
	}
}

// note keeps an error that leaves it open what the store would have answered.
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

// isAnswer reports whether the error is what a working store says of a grant.
func isAnswer(err error) bool {
	for _, answer := range []error{
		ticketstore.ErrNotFound, grantstore.ErrConsumed, grantstore.ErrSessionEnded, ticketstore.ErrExists,
		ticketstore.ErrInvalid, ticketstore.ErrTooManyClients, ticketstore.ErrConflict, errRefused} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// isUnavailable reports whether trying again later may help.
func isUnavailable(err error) bool { return hostadapter.IsUnavailable(err) }

// carriers finds the carrier of a request that fosite returned, for as long as that request is in use, which
// it does not prolong.
type carriers struct {
	mu      sync.Mutex
	entries map[weak.Pointer[fosite.Request]]*carrier
}

// handleOf identifies a request of fosite's own types, and is zero for any other.
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

// bind ties the carrier to a request. One that is not fosite's own type is left alone.
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

// ofOr is of, with a carrier for a request that has none.
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

// release forgets the carrier of a request that was answered.
func (m *carriers) release(request fosite.Requester) {
	_, handle := handleOf(request)
	m.forget(handle)
}

func (m *carriers) forget(handle weak.Pointer[fosite.Request]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, handle)
}

// from returns the carrier of a call to the Store: the provider's, or, for a host that uses the Store without
// the provider, one that goes with fosite's token request.
func (m *carriers) from(ctx context.Context) *carrier {
	if c, ok := ctx.Value(carrierKey{}).(*carrier); ok {
		return c
	}
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(*fosite.AccessRequest)
	if !ok {
		return nil
	}
	// Not with ctx: it holds the request, which would then never be forgotten.
	return m.ofOr(request, func() *carrier { return newCarrier(context.Background()) })
}
