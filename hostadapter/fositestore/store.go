package fositestore

// Store implements fosite's storage interfaces with grants.

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/handler/rfc7523"
	"github.com/ory/fosite/handler/verifiable"
	"github.com/ory/fosite/storage"
	"golang.org/x/text/language"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/plugin/loglimit"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The interfaces that the factories of package compose require of a storage.
var (
	_ fosite.Storage                                      = (*Store)(nil)
	_ fosite.ClientManager                                = (*Store)(nil)
	_ fosite.PARStorage                                   = (*Store)(nil)
	_ oauth2.CoreStorage                                  = (*Store)(nil)
	_ oauth2.TokenRevocationStorage                       = (*Store)(nil)
	_ oauth2.ResourceOwnerPasswordCredentialsGrantStorage = (*Store)(nil)
	_ openid.OpenIDConnectRequestStorage                  = (*Store)(nil)
	_ pkce.PKCERequestStorage                             = (*Store)(nil)
	_ rfc7523.RFC7523KeyStorage                           = (*Store)(nil)
	_ verifiable.NonceManager                             = (*Store)(nil)
	_ storage.Transactional                               = (*Store)(nil)
)

// Store is the storage to pass to fosite's compose. It keeps codes, tokens and the records between two
// requests as grants, bound to the session they were made in. Clients, users and keys stay in the host's own
// store. Use it together with Provider. Without the Provider each call is executed separately, and store
// errors reach the client as fosite translates them.
type Store struct {
	adapter  *hostadapter.Adapter
	tie      *tie.Adapter // internal methods of the adapter
	host     fosite.ClientManager
	legacy   *legacy // nil without Config.LegacyUntil
	clients  *clients
	fosite   *fosite.Config
	grace    time.Duration
	carriers carriers
	refusals loglimit.Lines
}

// row is a grant as it was read. Rows of cached grants are shared: a row is immutable once read has returned
// it, and the request is decoded anew for each caller, because fosite and hosts modify what they get
// (TestCachedGrantIsNotShared).
type row struct {
	// by is the Store that unsealed it. Another Store over the same backend may have other keys.
	by    *Store
	grant *grantstore.Grant
	// request is the unsealed request, decoded for each caller.
	request stored
	// lang is the parsed language of the request.
	lang language.Tag
	// issuer is the issuer of the grant's session. It is empty if the grant has no session or was stored by
	// an earlier release without the issuer.
	issuer string
	// session holds the lifetime of the grant's session, or nil if the grant has no live session.
	session *grantstore.SessionTimes
	// related are the other rows of the code's family.
	related []*row
	// used reports whether the grant was consumed. The request of a used grant may be gone.
	used bool
}

func (s *Store) now() time.Time { return s.tie.Now() }

func refOf(t grantstore.Type, handle string) grantstore.Ref {
	return grantstore.Ref{Type: t, Key: ticketstore.KeyOf(handle)}
}

// get reads a grant, at most once per request. A used grant is returned together with grantstore.ErrConsumed.
// It returns fosite.ErrNotFound if the grant is missing, or its session does not keep it alive, or the handle
// is empty, which is what fosite passes for a malformed token.
func (s *Store) get(ctx context.Context, t grantstore.Type, handle string) (*row, error) {
	if handle == "" {
		return nil, fosite.ErrNotFound
	}
	ref := refOf(t, handle)
	c := s.carriers.from(ctx)
	if r := c.row(ref); r != nil {
		return r, nil
	}
	r, err := s.read(ctx, ref)
	c.note(err)
	switch {
	case errors.Is(err, errRefused):
		return nil, err
	case errors.Is(err, ticketstore.ErrNotFound), errors.Is(err, grantstore.ErrSessionEnded):
		return nil, fosite.ErrNotFound.WithWrap(err)
	case err != nil && r == nil:
		return nil, err
	}
	if err == nil && r.issuer != "" && !s.tie.ServesIssuer(r.issuer) {
		return nil, fosite.ErrNotFound.WithWrap(
			fmt.Errorf("%s: its session has the issuer %q, which is not one of this server", t, r.issuer))
	}
	if c != nil && err == nil {
		c.keep(r)
		c.keep(r.related...)
	}
	return r, err
}

func (s *Store) read(ctx context.Context, ref grantstore.Ref) (*row, error) {
	if r := s.pending(ctx, ref); r != nil {
		grant := *r
		row, _, err := s.open(&grant)
		return row, err
	}
	now := s.now()
	found, err := s.adapter.Backend().Grants().Get(ctx, ref, now)
	if errors.Is(err, grantstore.ErrSessionEnded) && found != nil && found.Grant.Offline &&
		ref.Type == grantstore.RefreshToken {
		// The session may have expired but not been ended. Ending it decides which grants survive.
		s.tie.EndExpired(ctx, found.Grant.SessionID)
		now = s.now()
		found, err = s.adapter.Backend().Grants().Get(ctx, ref, now)
	}
	consumed := errors.Is(err, grantstore.ErrConsumed) && found != nil
	if err != nil && !consumed {
		return nil, err
	}
	if found == nil {
		return nil,
			fmt.Errorf("grant store returned neither a grant nor an error: %w", ticketstore.ErrUnavailable)
	}
	if found.Grant.Ref != ref {
		return nil, s.refuse(ctx, ref, errors.New("the store returned a different grant"))
	}
	r, openErr := s.openFound(found)
	switch {
	case openErr != nil:
		found.Memo.Reject()
		return nil, s.reportData(ctx, ref, openErr)
	case r.request == "" && !consumed && ref.Type != grantstore.JTI:
		found.Memo.Reject()
		return nil, s.refuse(ctx, ref, errors.New("its data is missing"))
	}
	if consumed {
		r.used = true // used rows are not cached
	}
	for i := range found.Related {
		other, _, openErr := s.open(&found.Related[i])
		if openErr != nil {
			return nil, s.reportData(ctx, found.Related[i].Ref, openErr)
		}
		r.related = append(r.related, other)
	}
	if at := r.grant.Expires; !at.IsZero() && !now.Before(at) {
		return nil, fmt.Errorf("%s: %w", ref.Type, ticketstore.ErrNotFound)
	}
	if err == nil && grantstore.IsToConsume(ctx) {
		s.carriers.from(ctx).addUnproved(r)
	}
	return r, err
}

// openFound unseals the grant, once for all callers that share the cached result.
func (s *Store) openFound(found *grantstore.GetResult) (*row, error) {
	if kept, ok := found.Memo.Load().(*row); ok && kept.by == s {
		return kept, nil
	}
	r, former, err := s.open(&found.Grant)
	if err != nil {
		return nil, err
	}
	r.session = found.Session
	if found.Memo != nil && r.request != "" && !former { // a former seal is accepted for a limited time only
		found.Memo.Keep(r)
	}
	return r, nil
}

// open unseals a grant. Grants without data, such as a jti or a used token, get a row without a request.
func (s *Store) open(grant *grantstore.Grant) (r *row, former bool, err error) {
	r = &row{by: s, grant: grant}
	if len(grant.Data) == 0 {
		return r, false, nil
	}
	data, former, err := s.tie.UnsealBound(bindingOf(grant), formerBindingOf(grant), grant.Data)
	if err == nil {
		r.request, err = parse(data)
	}
	if err != nil {
		return nil, false, err
	}
	r.lang = decodeLang(r.request.text(langField))
	if grant.SessionID != "" {
		r.issuer = r.request.issuer()
	}
	return r, former, nil
}

// reportData logs why a grant cannot be read and notes the failure, since the state of the grant is unknown.
// A grant that no key opens is refused instead.
func (s *Store) reportData(ctx context.Context, ref grantstore.Ref, err error) error {
	if errors.Is(err, hostadapter.ErrChanged) {
		return s.refuse(ctx, ref, err)
	}
	if errors.Is(err, hostadapter.ErrSealed) {
		// Its key was lost, or it has the seal of an earlier release, which UnsealBound has logged. The token
		// is inactive; the client obtains a new one.
		return fosite.ErrNotFound.WithWrap(fmt.Errorf("read %s: %w: %w", ref.Type, errRefused, err))
	}
	s.tie.Logger.ErrorContext(ctx, "a stored grant cannot be read; it is kept", "type", string(ref.Type),
		"error", err)
	err = fmt.Errorf("read %s: %w", ref.Type, err)
	s.carriers.from(ctx).note(err)
	return err
}

// pending returns a grant whose write is still gathered, so that handlers can read their own writes.
func (s *Store) pending(ctx context.Context, ref grantstore.Ref) (grant *grantstore.Grant) {
	find := func(b *grantstore.Batch) {
		for i := range b.Store {
			if b.Store[i].Ref == ref {
				grant = &b.Store[i]
			}
		}
	}
	if tx := txFrom(ctx); tx != nil {
		find(tx)
	}
	if c := s.carriers.from(ctx); c != nil && grant == nil {
		_, _ = c.change(func(b *grantstore.Batch) error {
			for _, committed := range c.committed {
				find(committed)
			}
			find(b)
			return nil
		})
	}
	return grant
}

// write applies a change to the open transaction, else to the batch that the provider gathers, else directly
// to the store.
func (s *Store) write(ctx context.Context, change func(*grantstore.Batch) error) error {
	if tx := txFrom(ctx); tx != nil {
		return change(tx)
	}
	c := s.carriers.from(ctx)
	if c != nil {
		if gathered, err := c.change(change); gathered {
			return err
		}
	}
	batch := &grantstore.Batch{}
	if err := change(batch); err != nil {
		return err
	}
	_, err := s.apply(ctx, c, batch)
	return err
}

// apply writes a batch durably. If the outcome is unknown, it repeats the batch under the same operation id.
func (s *Store) apply(
	ctx context.Context, c *carrier, batch *grantstore.Batch,
) (result *grantstore.Result, err error) {
	batch.OperationID = cmp.Or(batch.OperationID, rand.Text())
	c.prove(batch)
	now := s.now()
	err = s.tie.Persist(ctx, func(ctx context.Context) (err error) {
		result, err = s.adapter.Backend().Grants().Apply(ctx, batch, now)
		return err
	})
	c.note(err)
	if err == nil {
		c.proved(batch)
		if result == nil {
			result = &grantstore.Result{}
		}
	}
	return result, err
}
