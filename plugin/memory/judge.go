package memory

import (
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// judge decides whether a grant is live at now (rules.Judge). Every read and every write of a grant asks it.
func (t *tx) judge(kind grantstore.Type, g *records.Grant, now time.Time) error {
	return rules.Judge(kind, g, t.standing(g), now)
}

// standing is what its session says of a grant.
func (t *tx) standing(g *records.Grant) *rules.Standing {
	sid := g.GetSessionId()
	return &rules.Standing{Session: t.session(sid), Use: t.use(sid, g.GetClientId()), Ended: t.ended(sid)}
}

// storedGrant is a grant and its row's key.
type storedGrant struct {
	*records.Grant
	key string
}

func (g storedGrant) kind() grantstore.Type {
	ref, _ := records.RefOf(g.key)
	return ref.Type
}

// grantsWhere returns the grants that match, in the order of their keys, to look at.
func (t *tx) grantsWhere(match func(kind grantstore.Type, g *records.Grant) bool) (found []storedGrant) {
	scan(t, transfer.Grants, func(key string, g *records.Grant) {
		if s := (storedGrant{g, key}); match(s.kind(), g) {
			found = append(found, s)
		}
	})
	slices.SortFunc(found, func(a, b storedGrant) int { return strings.Compare(a.key, b.key) })
	return found
}

// family returns the unused tokens of a request id.
func (t *tx) family(requestID string) []storedGrant {
	if requestID == "" {
		return nil
	}
	return t.grantsWhere(func(kind grantstore.Type, g *records.Grant) bool {
		return kind.IsToken() && g.GetRequestId() == requestID && g.GetConsumed() == 0
	})
}
