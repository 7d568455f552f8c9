package layout

// Companions: grants that are listed by the entries of another.

import (
	"bytes"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Index entries are most of what a flow writes. An access token is stored along with a refresh token, and
// goes when that is used; so do the OpenID and PKCE requests of a code. Such a companion has no entries in
// ga, gs, gu and gc: those of its principal, the refresh token or the code, lead to it too. It is shown where
// its own would stand, at the same moment of creation (grantrows.Listing). A grant without a principal has
// entries of its own, and gets them when its principal goes before it does (families.go).

// Leads reports whether a grant of one type may be the principal of one of another.
func Leads(principal, companion grantstore.Type) bool {
	switch companion {
	case grantstore.ReferenceToken:
		return principal == grantstore.RefreshToken
	case grantstore.OpenIDRequest, grantstore.PKCERequest:
		return principal == grantstore.AuthorizationCode
	default:
		return false
	}
}

// Companion reports whether a grant is a companion of another, which is of a type that Leads: of the same
// family, owners and moment, both unused; an access token has to be the one that the refresh token names.
func Companion(ref grantstore.Ref, g, principal *records.Grant) bool {
	return g.GetConsumed() == 0 && principal.GetConsumed() == 0 && g.GetCreated() == principal.GetCreated() &&
		g.GetRequestId() != "" && g.GetRequestId() == principal.GetRequestId() &&
		g.GetSubjectId() == principal.GetSubjectId() && g.GetSessionId() == principal.GetSessionId() &&
		g.GetClientId() == principal.GetClientId() &&
		(ref.Type != grantstore.ReferenceToken || bytes.Equal(principal.GetAccess(), records.RefBytes(ref)))
}
