package admin

// Grants on the page of a session: shown, counted, revoked.

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// grantRow is one grant of a list.
type grantRow struct {
	Type, ClientID, Description string
	Offline                     bool
	Created, Expires            stamp
}

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

// grantsOf returns the newest grants that a filter selects, and whether there are more.
func (m *mount) grantsOf(r *http.Request, filter grantstore.Filter) ([]grantRow, bool, error) {
	page, err := m.sessions.QueryGrants(r.Context(), grantstore.Query{Filter: filter})
	if err != nil {
		return nil, false, err
	}
	now := m.sessions.Now()
	rows := make([]grantRow, 0, len(page.Grants))
	for i := range page.Grants {
		g := &page.Grants[i]
		rows = append(rows, grantRow{
			Type: string(g.Type), ClientID: g.ClientID, Description: g.Description, Offline: g.Offline,
			Created: stampOf(g.Created, now), Expires: stampOf(g.Expires, now),
		})
	}
	return rows, page.HasNext, nil
}

// revokeFromPage revokes the grants of one type that a client has of a session, or a consent that its subject
// gave the client, and leads back to the session.
func (m *mount) revokeFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	sid, kind := form.Get("session_id"), grantstore.Type(form.Get("type"))
	filter := grantstore.Filter{Type: kind, ClientID: form.Get("client_id"), SessionID: sid}
	if kind == grantstore.UserConsent { // it belongs to the subject, whatever the session
		filter.SubjectID, filter.SessionID = form.Get("subject_id"), ""
	}
	record.add(slog.String("subject_id", filter.SubjectID), slog.String("session_id", filter.SessionID),
		slog.String("client_id", filter.ClientID), slog.String("type", string(kind)))
	// What is left out would select more than the button says.
	switch {
	case sid == "":
		return ticketstore.Invalidf("session_id", "is missing")
	case kind == "":
		return ticketstore.Invalidf("type", "is missing")
	case filter.ClientID == "":
		return ticketstore.Invalidf("client_id", "is missing")
	case kind == grantstore.UserConsent && filter.SubjectID == "":
		return ticketstore.Invalidf("subject_id", "is missing")
	}
	after := m.countGrants(r.Context(), record, filter)
	removed, err := m.sessions.RemoveGrants(r.Context(), hostadapter.GrantRemoval{Filter: filter})
	if err != nil {
		return err
	}
	after()
	record.add(slog.Int("grants_revoked", removed.GrantsRevoked),
		slog.Int("consents_revoked", removed.ConsentsRevoked))
	record.status = http.StatusSeeOther
	seeOther(w, "session?"+url.Values{
		"session_id": {sid}, "revoked": {strconv.Itoa(removed.GrantsRevoked + removed.ConsentsRevoked)},
	}.Encode())
	return nil
}
