package fositestore

// Bindings: the associated data that a grant's data is sealed with (rule 13).

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ory/fosite"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// errRefused marks a grant that the store returned and the host refuses, for one of three reasons. The grant
// is not what the host stored: it was changed, swapped, or lacks a related row. No key opens it. It has the
// seal of an earlier release and Config.UnboundUntil has passed. fosite gets "not found". The first kind is
// logged at most once a second, the others once a minute.
var errRefused = errors.New("a stored grant is refused")

// bindingOf returns what a grant's data is sealed for: its type, its key, and all fields beside the data that
// the host relies on. If a store changes one of them, or returns the data for another grant, the data cannot
// be opened. Each string is length-prefixed.
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

// formerBindingOf returns the binding that earlier releases used.
func formerBindingOf(g *grantstore.Grant) tie.Binding {
	return tie.Binding{Purpose: string(g.Type), ID: g.Key[:]}
}

// seal sets the sealed data of a grant whose other fields are complete.
func (s *Store) seal(g *grantstore.Grant, data []byte) { g.Data = s.tie.Seal(bindingOf(g), data) }

// lastMoment is the latest time that stores can hold.
var lastMoment = time.Unix(0, math.MaxInt64).UTC()

// storable returns t as stores will return it.
func storable(t time.Time) time.Time {
	switch {
	case t.IsZero():
		return time.Time{}
	case t.After(lastMoment) || t.Unix() > lastMoment.Unix(): // After is wrong about the largest Unix times
		return lastMoment
	}
	return t.UTC()
}

// inherit copies from the consumed code or refresh token the fields that the store gives to all grants of
// that batch (grantstore.Consumption): they must be known before the grant is sealed. It also returns the
// session's issuer.
func (s *Store) inherit(ctx context.Context, g *grantstore.Grant) (issuer string, err error) {
	row, err := s.consumedRow(ctx)
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

// hasIssuer reports whether the grant's session has that issuer, or the grant has no session.
func (r *row) hasIssuer(issuer string) bool {
	return r.issuer == "" || r.issuer == issuer
}

// consumedRow returns the code or refresh token that the current batch consumes, or nil.
func (s *Store) consumedRow(ctx context.Context) (*row, error) {
	var used *grantstore.Consumption
	c := s.carriers.from(ctx)
	if tx := txFrom(ctx); tx != nil {
		used = tx.Consume
	} else if c != nil {
		_, _ = c.change(func(b *grantstore.Batch) error { used = b.Consume; return nil })
	}
	if used == nil {
		return nil, nil
	}
	if r := c.row(used.Ref); r != nil {
		return r, nil
	}
	// It was not read in this request, or it has just moved from the host's own store.
	r, err := s.read(ctx, used.Ref)
	switch {
	case r != nil && r.request != "":
		return r, nil
	case err == nil || isAnswer(err):
		return nil, nil // the store will refuse the batch
	}
	return nil, err
}

// recordRelated records in a code's sealed data that a row belongs to it, so that a store cannot withhold the
// row: without its PKCE row, a code would need no verifier. The code is in the same batch or, if writes are
// not gathered, in the store.
func (s *Store) recordRelated(
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
		return nil // without a code there is nothing to exchange
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

// mark sets a field of the sealed record by appending it: concatenated protobuf messages merge.
func (s *Store) mark(code *grantstore.Grant, field protowire.Number) error {
	data, err := s.tie.Unseal(bindingOf(code), code.Data)
	if err != nil {
		return err
	}
	data = protowire.AppendTag(data, field, protowire.VarintType)
	s.seal(code, protowire.AppendVarint(data, 1))
	return nil
}

// checkRelated refuses a code that the store returns without its related rows.
func (s *Store) checkRelated(ctx context.Context, code *row) error {
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

// openIDKey returns the key of the OpenID record of the code in a token request, which is derived from the
// whole code, or the zero key outside of a token request.
func openIDKey(ctx context.Context) ticketstore.Key {
	if request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester); ok &&
		request != nil {
		return ticketstore.KeyOf(request.GetRequestForm().Get("code"))
	}
	return ticketstore.Key{}
}

// hasRelated reports whether a related row was returned with the grant. A zero key matches any key.
func (r *row) hasRelated(ref grantstore.Ref) bool {
	return slices.ContainsFunc(r.related, func(other *row) bool {
		return other.grant.Type == ref.Type && (ref.Key.IsZero() || other.grant.Key == ref.Key)
	})
}

// refuse logs why a grant from the store is refused and returns fosite.ErrNotFound.
func (s *Store) refuse(ctx context.Context, ref grantstore.Ref, err error) error {
	if suppressed, ok := s.refusals.Allow(s.now()); ok {
		s.tie.Logger.ErrorContext(ctx, "a stored grant is refused: the store, or a writer to it, is not "+
			"to be trusted", "type", string(ref.Type), "error", err, "lines_suppressed", suppressed)
	}
	return fosite.ErrNotFound.WithWrap(fmt.Errorf("read %s: %w: %w", ref.Type, errRefused, err))
}
