package rules

// Rule 3: codes and refresh tokens are used once, or again within a grace.

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// FormerGrace is how long a grant that an earlier release has used is kept whole: at least as long as any
// expected grace.
const FormerGrace = time.Hour

// Grace returns for how long a consumption allows its grant to be used again: never for a code.
func Grace(c *grantstore.Consumption) time.Duration {
	if c.Type != grantstore.RefreshToken {
		return 0
	}
	return c.Grace
}

// Used returns the record of a grant that was used at a moment and may be used again within a grace. Without
// a grace it keeps only what the detection of reuse needs: a client that refreshes every hour for a month
// leaves 720 of them.
func Used(g *records.Grant, grace time.Duration, at int64) *records.Grant {
	used := &records.Grant{
		RequestId: g.GetRequestId(), SessionId: g.GetSessionId(), ClientId: g.GetClientId(),
		Created: g.GetCreated(), Expires: g.GetExpires(), Consumed: at, Offline: g.GetOffline(),
		TokenNumber: g.GetTokenNumber(), Outlives: g.GetOutlives(), Used: 1,
	}
	if grace > 0 {
		used.Used += uint64(grace)
		used.SubjectId, used.Description, used.Access = g.GetSubjectId(), g.GetDescription(), g.GetAccess()
		used.Began, used.Data = g.GetBegan(), g.GetData()
	}
	return used
}

// related are the types of grants that a code exchange needs along with the code, and that are deleted with
// it.
var related = []grantstore.Type{grantstore.OpenIDRequest, grantstore.PKCERequest}

// Related reports whether a grant of this type, and of a code's family, is read along with the code.
func Related(t grantstore.Type) bool { return slices.Contains(related, t) }

// DeletedOnUse returns what is deleted when a code or refresh token is used for the first time: the access
// token that was issued with it, if known, otherwise the grants of the returned types of its family.
func DeletedOnUse(
	t grantstore.Type, g *records.Grant,
) (access grantstore.Ref, known bool, types []grantstore.Type) {
	if t == grantstore.AuthorizationCode {
		return access, false, related
	}
	if access, known = records.RefOf(g.GetAccess()); known {
		return access, true, nil
	}
	return access, false, []grantstore.Type{grantstore.ReferenceToken}
}

// UsedAgain reports whether a used grant may be used again at now: within the grace of its use and that of
// the next use, whichever is shorter (rule 3). If the clock was set back to before its use, the time since is
// unknown and there is no grace.
func UsedAgain(g *records.Grant, grace time.Duration, now time.Time) bool {
	if g.GetUsed() != 0 {
		grace = min(grace, time.Duration(min(g.GetUsed()-1, math.MaxInt64)))
	}
	used := records.Moment(g.GetConsumed())
	return grace > 0 && !now.Before(used.Add(-ClockSkew)) && !now.After(used.Add(grace))
}

// Reuse decides on the use of a grant that was used before (rule 3). lines is the number of live refresh
// tokens of its family. It returns nil within the grace, if the tokens issued for the grant were not revoked
// and the family has fewer than grantstore.MaxLines. Otherwise it returns ErrConsumed, and whether to revoke
// the family: not if only that bound was reached.
func Reuse(g *records.Grant, c *grantstore.Consumption, lines int, now time.Time) (revoke bool, err error) {
	switch {
	case !UsedAgain(g, Grace(c), now) || lines == 0:
		return true, grantstore.ErrConsumed
	case lines >= grantstore.MaxLines:
		return false, fmt.Errorf("its family has %d live refresh tokens: %w", lines, grantstore.ErrConsumed)
	}
	return false, nil
}
