package hostadapter

// Single grants: their ids for operators, and their removal.

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// grantIDPurpose is the purpose for which the ids of grants are sealed.
const grantIDPurpose = "grant id"

// GrantID returns the opaque id of a grant. It is stable until the first of Config.Keys changes. It is
// sealed, so that a listing or a log reveals neither a token nor the key under which it is stored.
func (o *Operations) GrantID(ref grantstore.Ref) string {
	plain := append(ref.Key[:], ref.Type...)
	return base64.RawURLEncoding.EncodeToString(o.adapter.ring.sealSame(grantIDPurpose, plain))
}

// grantOf returns the grant with the id.
func (o *Operations) grantOf(id string) (ref grantstore.Ref, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return ref, ticketstore.Invalidf("id", "is not the id of a grant")
	}
	// Not Adapter.unseal: an invalid id is the caller's fault and is not logged.
	plain, err := o.adapter.ring.unseal(grantIDPurpose, nil, sealed)
	if err != nil || len(plain) < len(ref.Key) {
		return ref, ticketstore.Invalidf("id",
			"is not the id of a grant, or was sealed with a former key: list the grants again")
	}
	n := copy(ref.Key[:], plain)
	ref.Type = grantstore.Type(plain[n:])
	return ref, nil
}

// removeGrant removes the grant with the id, or counts what would be removed with it.
//
// A refresh between Get and the batch does not matter: the batch revokes, in one transaction, what the family
// has by then, and a repeat within a grace period finds no live token of its family (rule 3).
func (o *Operations) removeGrant(ctx context.Context, removal GrantRemoval) (*GrantRemovalResult, error) {
	ref, err := o.grantOf(removal.ID)
	if err != nil {
		return nil, err
	}
	found, err := o.adapter.config.Backend.Grants().Get(ctx, ref, o.adapter.now())
	dead := errors.Is(err, grantstore.ErrConsumed) || errors.Is(err, grantstore.ErrSessionEnded)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return &GrantRemovalResult{Target: grantstore.Filter{Type: ref.Type}}, nil
	case err != nil && !dead:
		return nil, fmt.Errorf("hostadapter: reading a grant: %w", err)
	}
	g := &found.Grant
	target := grantstore.Filter{
		SubjectID: g.SubjectID, SessionID: g.SessionID, ClientID: g.ClientID, Type: g.Type,
	}
	family := g.RequestID != "" && g.Type.IsToken() && g.Type != grantstore.ReferenceToken
	result := &GrantRemovalResult{Target: target}
	switch {
	case !family && dead:
	case removal.DryRun && family:
		// A used token has lost its subject; its session and client select the family as well.
		of := grantstore.Filter{SessionID: g.SessionID, SubjectID: g.SubjectID, ClientID: g.ClientID}
		result, err = o.countGrants(ctx, of, func(other *grantstore.Grant) bool {
			return other.RequestID == g.RequestID && other.Type.IsToken()
		})
		if err != nil {
			return nil, err
		}
		result.Target = target
	case removal.DryRun:
		result.count(g.Type, 1)
	default:
		revoked, err := o.revoke(ctx, g, family)
		if err != nil {
			return nil, err
		}
		result.count(g.Type, revoked)
	}
	return result, nil
}

// revoke removes a grant, or its family, in one transaction.
func (o *Operations) revoke(ctx context.Context, g *grantstore.Grant, family bool) (revoked int, err error) {
	batch := &grantstore.Batch{OperationID: randomID()}
	if family {
		batch.Revoke = []grantstore.Revocation{{RequestID: g.RequestID}}
	} else {
		batch.Delete = []grantstore.Ref{g.Ref}
	}
	done, err := o.adapter.apply(ctx, batch, o.adapter.now())
	if err != nil {
		return 0, fmt.Errorf("hostadapter: removing a grant: %w", err)
	}
	return done.Revoked, nil
}

// countGrants counts the live grants that the filter selects and match accepts.
func (o *Operations) countGrants(
	ctx context.Context, filter grantstore.Filter, match func(*grantstore.Grant) bool,
) (*GrantRemovalResult, error) {
	result := &GrantRemovalResult{Target: filter}
	query := grantstore.Query{Filter: filter, Count: ticketstore.MaxCount}
	err := eachPage(func(token string) (next string, more bool, err error) {
		query.ResultsToken = token
		page, err := o.QueryGrants(ctx, query)
		if err != nil {
			return "", false, err
		}
		for i := range page.Grants {
			if match(&page.Grants[i]) {
				result.count(page.Grants[i].Type, 1)
			}
		}
		return page.ResultsToken, page.HasNext, nil
	})
	return result, err
}

// count adds n grants of a type.
func (r *GrantRemovalResult) count(t grantstore.Type, n int) {
	if t == grantstore.UserConsent {
		r.ConsentsRevoked += n
	} else {
		r.GrantsRevoked += n
	}
}
