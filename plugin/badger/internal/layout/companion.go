package layout

// Companions: grants that are listed by the entries of another grant.

import (
	"bytes"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Index entries are most of what a flow writes. An access token is stored together with a refresh token and
// is deleted when that is used; so are the OpenID and PKCE requests of a code. Such a companion has no
// entries in ga, gs, gu and gc: those of its principal, the refresh token or the code, also lead to it. It is
// listed where its own entry would be, at the same creation (grantrows.Listing). A grant without a principal
// has its own entries, and gets them if its principal is deleted first (families.go).

// Leads reports whether a grant of one type may be the principal of a grant of the other type.
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

// Companion reports whether a grant is a companion of principal, whose type must be one that Leads: both have
// the same family, owners and creation and are unused; an access token must be the one named by the refresh
// token.
func Companion(ref grantstore.Ref, g, principal *records.Grant) bool {
	return g.GetConsumed() == 0 && principal.GetConsumed() == 0 && g.GetCreated() == principal.GetCreated() &&
		g.GetRequestId() != "" && g.GetRequestId() == principal.GetRequestId() &&
		g.GetSubjectId() == principal.GetSubjectId() && g.GetSessionId() == principal.GetSessionId() &&
		g.GetClientId() == principal.GetClientId() &&
		(ref.Type != grantstore.ReferenceToken || bytes.Equal(principal.GetAccess(), records.RefBytes(ref)))
}
