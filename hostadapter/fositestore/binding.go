package fositestore

// Bindings: what a grant's data is sealed for (rule 13).

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ory/fosite"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// errRefused marks a grant that the store has returned and that is not accepted. Either it is not what the
// host has stored: it was changed, is another one, or lacks a row that belongs to it. Or no key opens it any
// more. Or it is sealed as an earlier release did, and Config.UnboundUntil is over. fosite gets "not found".
// It is logged, the first kind once a second at most, the others once a minute.
var errRefused = errors.New("a stored grant is refused")

// bindingOf returns what a grant's data is sealed for: its type and key, and all that the host acts on though
// it is stored beside the data. A store that changes any of it, or returns the data for another grant, gives
// nothing that can be opened. Each text has its length before it.
func bindingOf(g *grantstore.Grant) tie.Binding {
	id := append(make([]byte, 0, 256), g.Key[:]...)
	for _, text := range []string{g.RequestID, g.SubjectID, g.SessionID, g.ClientID, g.Description} {
		id = binary.AppendUvarint(id, uint64(len(text)))
		id = append(id, text...)
	}
	id = append(id, 0)
	if g.Offline {
		id[len(id)-1] = 1
	}
	if !g.Expires.IsZero() {
		id = binary.AppendVarint(id, g.Expires.UnixNano())
	}
	return tie.Binding{Purpose: "bound " + string(g.Type), ID: id}
}

// formerBindingOf returns what earlier releases sealed a grant's data for.
func formerBindingOf(g *grantstore.Grant) tie.Binding {
	return tie.Binding{Purpose: string(g.Type), ID: g.Key[:]}
}

// seal puts the data into a grant that is complete but for it.
func (s *Store) seal(g *grantstore.Grant, data []byte) { g.Data = s.tie.Seal(bindingOf(g), data) }

// lastMoment is the latest that stores keep.
var lastMoment = time.Unix(0, math.MaxInt64).UTC()

// storable returns the moment as stores give it back.
func storable(t time.Time) time.Time {
	switch {
	case t.IsZero():
		return time.Time{}
	case t.After(lastMoment):
		return lastMoment
	}
	return t.UTC()
}

// inherit gives the grant what a store gives to all that is stored by a batch which uses up a code or refresh
// token (grantstore.Consumption). It has to be known before the grant is sealed. issuer is that of its
// session.
func (s *Store) inherit(ctx context.Context, g *grantstore.Grant) (issuer string, err error) {
	row, err := s.usedUp(ctx)
	if row != nil {
		issuer = row.issuer
		from := row.grant
		g.RequestID = from.RequestID
		g.SubjectID = from.SubjectID
		g.SessionID = from.SessionID
		g.ClientID = from.ClientID
		g.Offline = from.Offline
	}
	return issuer, err
}

// isOf reports whether the grant is of a session of the issuer, or of none.
func (r *row) isOf(issuer string) bool {
	return r.issuer == "" || r.issuer == issuer
}

// usedUp returns the code or refresh token that the batch under way uses up, or nil.
func (s *Store) usedUp(ctx context.Context) (*row, error) {
	var used *grantstore.Consumption
	look := func(b *grantstore.Batch) error { used = b.Consume; return nil }
	c := s.carriers.from(ctx)
	if tx := txFrom(ctx); tx != nil {
		_ = look(&tx.batch)
	} else if c != nil {
		_, _ = c.change(look)
	}
	if used == nil {
		return nil, nil
	}
	if c != nil {
		if r := c.row(used.Ref); r != nil {
			return r, nil
		}
	}
	// It was not read in this request, or it has just come from the host's own store.
	r, err := s.read(ctx, used.Ref)
	switch {
	case r != nil && r.request != "":
		return r, nil
	case err == nil || isAnswer(err):
		return nil, nil // the batch will be refused
	}
	return nil, err
}

// announce has a code's sealed record say that a row belongs to it, so that no store can withhold that row:
// without its PKCE row a code would be good without a verifier. The code is in the same batch or, where
// writes go one by one, in the store.
func (s *Store) announce(
	ctx context.Context, b *grantstore.Batch, code grantstore.Ref, field protowire.Number,
) error {
	for i := range b.Store {
		if b.Store[i].Ref == code {
			return s.mark(&b.Store[i], field)
		}
	}
	found, err := s.adapter.Backend().Grants().Get(ctx, code, s.now())
	switch {
	case isAnswer(err):
		return nil // no code, no exchange
	case err != nil:
		return err
	}
	b.Seen = append(b.Seen, grantstore.PreconditionOf(&found.Grant))
	if err := s.mark(&found.Grant, field); err != nil {
		return err
	}
	b.Delete = append(b.Delete, code)
	b.Store = append(b.Store, found.Grant)
	return nil
}

// mark sets a field of the sealed record. Protobuf messages that follow one another are one message.
func (s *Store) mark(code *grantstore.Grant, field protowire.Number) error {
	data, err := s.tie.Unseal(bindingOf(code), code.Data)
	if err != nil {
		return err
	}
	data = protowire.AppendTag(data, field, protowire.VarintType)
	s.seal(code, protowire.AppendVarint(data, 1))
	return nil
}

// checkWhole refuses a code that the store gives without the rows that belong to it.
func (s *Store) checkWhole(ctx context.Context, code *row) error {
	request := code.request
	for _, part := range []struct {
		belongs bool
		ref     grantstore.Ref
	}{
		{request.has(hasPKCEField), grantstore.Ref{Type: grantstore.PKCERequest, Key: code.grant.Key}},
		{request.has(hasOpenIDField), grantstore.Ref{Type: grantstore.OpenIDRequest, Key: openIDKey(ctx)}},
	} {
		if part.belongs && !code.hasRelated(part.ref) {
			return s.refuse(ctx, code.grant.Ref, fmt.Errorf("its %s is missing", part.ref.Type))
		}
	}
	return nil
}

// openIDKey returns the key of the OpenID record of the code in a token request, or the zero key: it is kept
// under the whole code.
func openIDKey(ctx context.Context) ticketstore.Key {
	if request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester); ok &&
		request != nil {
		return ticketstore.KeyOf(request.GetRequestForm().Get("code"))
	}
	return ticketstore.Key{}
}

// hasRelated reports whether a row came along. A zero key stands for any.
func (r *row) hasRelated(ref grantstore.Ref) bool {
	for _, other := range r.related {
		if other.grant.Type == ref.Type && (ref.Key.IsZero() || other.grant.Key == ref.Key) {
			return true
		}
	}
	return false
}

// refuse logs what is wrong with a grant that the store gave, and returns the error of one that does not
// exist.
func (s *Store) refuse(ctx context.Context, ref grantstore.Ref, err error) error {
	if suppressed, ok := s.refusals.Allow(s.now()); ok {
		s.tie.Logger().ErrorContext(ctx, "a stored grant is refused: the store, or a writer to it, is not "+
			"to be trusted", "type", string(ref.Type), "error", err, "lines_suppressed", suppressed)
	}
	return fosite.ErrNotFound.WithWrap(fmt.Errorf("read %s: %w: %w", ref.Type, errRefused, err))
}
