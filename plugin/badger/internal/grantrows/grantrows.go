// Package grantrows reads the rows of grants and of their families, and finds companions, which are listed by
// the entries of their principal (layout.Companion).
package grantrows

import (
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Load returns a grant, or nil if there is none.
func Load(r kv.Reader, ref grantstore.Ref) (*records.Grant, error) {
	return kv.Find[records.Grant](r, layout.GrantKey(ref))
}

// Family returns the unused codes and tokens of a request id, in order of insertion.
func Family(r kv.Reader, requestID string) ([]grantstore.Ref, error) {
	if requestID == "" {
		return nil, nil
	}
	family, err := kv.Find[recordpb.Family](r, layout.FamilyKey(requestID))
	if err != nil {
		return nil, err
	}
	members := make([]grantstore.Ref, 0, len(family.GetMembers())+2)
	for _, m := range family.GetMembers() {
		ref, ok := records.RefOf(m)
		if !ok {
			return nil, layout.Damaged(layout.FamilyKey(requestID), fmt.Errorf("member of %d bytes", len(m)))
		}
		members = append(members, ref)
	}
	return members, nil
}

// OfFamily reports whether a grant is a member of the family of its request id.
func OfFamily(ref grantstore.Ref, g *records.Grant) bool {
	return g.GetRequestId() != "" && g.GetConsumed() == 0 && ref.Type.IsToken()
}

// HasPrincipal reports whether a grant is the companion of a member of its family. It reads the members'
// rows.
func HasPrincipal(
	members []grantstore.Ref, ref grantstore.Ref, g *records.Grant,
	row func(ref grantstore.Ref) (*records.Grant, error),
) (bool, error) {
	// Backward, because grants issued together are adjacent, and most queries are for the latest.
	for _, member := range slices.Backward(members) {
		if !layout.Leads(member.Type, ref.Type) {
			continue
		}
		principal, err := row(member)
		if err != nil {
			return false, err
		}
		if principal != nil && layout.Companion(ref, g, principal) {
			return true, nil
		}
	}
	return false, nil
}

// IsCompanion is HasPrincipal for a grant whose family was not read yet. An unreadable grant has no
// companions.
func IsCompanion(r kv.Reader, ref grantstore.Ref, g *records.Grant) (bool, error) {
	if !OfFamily(ref, g) || !layout.Leads(grantstore.RefreshToken, ref.Type) &&
		!layout.Leads(grantstore.AuthorizationCode, ref.Type) {
		return false, nil
	}
	members, err := Family(r, g.GetRequestId())
	if err != nil {
		return false, r.StepOver(err)
	}
	return HasPrincipal(members, ref, g, func(ref grantstore.Ref) (*records.Grant, error) {
		principal, err := Load(r, ref)
		return principal, r.StepOver(err)
	})
}

// Candidates returns the members of a principal's family that may be its companions.
func Candidates(
	ref grantstore.Ref, principal *records.Grant, family func() ([]grantstore.Ref, error),
) ([]grantstore.Ref, error) {
	if principal.GetConsumed() != 0 || principal.GetRequestId() == "" {
		return nil, nil
	}
	switch ref.Type {
	case grantstore.RefreshToken: // it names its access token, so the family need not be read
		if access, ok := records.RefOf(principal.GetAccess()); ok {
			return []grantstore.Ref{access}, nil
		}
	case grantstore.AuthorizationCode:
		members, err := family()
		return slices.DeleteFunc(slices.Clone(members), func(member grantstore.Ref) bool {
			return !layout.Leads(ref.Type, member.Type)
		}), err
	}
	return nil, nil
}
