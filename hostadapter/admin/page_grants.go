package admin

// Grants on the page of a session: list, counts, revocation.

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type grantCount struct {
	Type  string
	Count int
}

// countGrants lists the live grants of a session by type, in the order of grantstore.Types.
func countGrants(report *hostadapter.SessionReport) []grantCount {
	var result []grantCount
	for _, t := range grantstore.Types {
		if n := report.Grants[t]; n > 0 {
			result = append(result, grantCount{Type: string(t), Count: n})
		}
	}
	return result
}

// grantsOf returns the newest grants that match a filter, and whether there are more.
func (m *mount) grantsOf(r *http.Request, filter grantstore.Filter) ([]client.Grant, bool, error) {
	page, err := m.sessions.QueryGrants(r.Context(), grantstore.Query{Filter: filter})
	if err != nil {
		return nil, false, err
	}
	return rowsOf(page.Grants, m.grantOf), page.HasNext, nil
}

// revokeFromPage revokes one grant and redirects to the page of the session.
func (m *mount) revokeFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form := r.PostForm
	sid, id := form.Get("session_id"), form.Get("id")
	switch {
	case sid == "":
		return ticketstore.Invalidf("session_id", "is missing")
	case id == "":
		return ticketstore.Invalidf("id", "is missing")
	}
	removed, err := m.remove(r.Context(), record, hostadapter.GrantRemoval{ID: id})
	if err != nil {
		return err
	}
	seeOther(w, "session?"+url.Values{
		"session_id": {sid}, "revoked": {strconv.Itoa(removed.GrantsRevoked + removed.ConsentsRevoked)},
	}.Encode())
	return nil
}
