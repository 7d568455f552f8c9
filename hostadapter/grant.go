package hostadapter

// One grant: the id that names it to operators, and its removal.

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// grantIDPurpose is what the ids of grants are sealed for.
const grantIDPurpose = "grant id"

// GrantID returns the opaque id of a grant: the same each time, until Config.Keys begins with another key. It
// is sealed, so that who reads a listing or a log has neither a token nor the key under which one is stored.
func (o *Operations) GrantID(ref grantstore.Ref) string {
	plain := append(ref.Key[:], ref.Type...)
	return base64.RawURLEncoding.EncodeToString(o.adapter.ring.sealSame(grantIDPurpose, plain))
}

// grantOf returns the grant that an id names.
func (o *Operations) grantOf(id string) (ref grantstore.Ref, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return ref, ticketstore.Invalidf("id", "is not the id of a grant")
	}
	// Not Adapter.unseal: what is wrong with it is the caller's fault and no news for the log.
	plain, err := o.adapter.ring.unseal(grantIDPurpose, nil, sealed)
	if err != nil || len(plain) < len(ref.Key) {
		return ref, ticketstore.Invalidf("id", "is no id of a grant, or one of a former key: list them again")
	}
	n := copy(ref.Key[:], plain)
	ref.Type = grantstore.Type(plain[n:])
	return ref, nil
}

// removeGrant removes the grant of an id, or counts what would go with it.
//
// A refresh that comes between Get and the batch changes nothing: the batch revokes, in one transaction, what
// the family has by then, and a repeat within a grace finds no live token of its family (rule 3).
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
		// A used token has lost its subject; its session and client lead to the family as well.
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

// countGrants counts the live grants of a filter that match.
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

// count adds grants of a type.
func (r *GrantRemovalResult) count(t grantstore.Type, n int) {
	if t == grantstore.UserConsent {
		r.ConsentsRevoked += n
	} else {
		r.GrantsRevoked += n
	}
}
