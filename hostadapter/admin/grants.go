package admin

// GET /grants, POST /grants/remove.

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
)

// grantBody is a grant in JSON. It has neither key nor data.
type grantBody struct {
	Type        grantstore.Type `json:"type"`
	SubjectID   string          `json:"subject_id,omitempty"`
	SessionID   string          `json:"session_id,omitempty"`
	ClientID    string          `json:"client_id,omitempty"`
	RequestID   string          `json:"request_id,omitempty"`
	Description string          `json:"description,omitempty"`
	Created     time.Time       `json:"created"`
	Expires     time.Time       `json:"expires,omitzero"`
	// Offline: the grant may outlive its session.
	Offline bool `json:"offline"`
}

type grantsRemovedBody struct {
	GrantsRevoked   int `json:"grants_revoked"`
	ConsentsRevoked int `json:"consents_revoked"`
}

func grantOf(g *grantstore.Grant) grantBody {
	body := grantBody{
		Type: g.Type, SubjectID: g.SubjectID, SessionID: g.SessionID, ClientID: g.ClientID,
		RequestID:   g.RequestID,
		Description: g.Description, Created: g.Created.UTC(), Offline: g.Offline,
	}
	if !g.Expires.IsZero() {
		body.Expires = g.Expires.UTC()
	}
	return body
}

func (m *mount) queryGrants(w http.ResponseWriter, r *http.Request, _ *audit) error {
	p := readParameters(r,
		append([]string{"subject_id", "session_id", "client_id", "type"}, pageParameters...)...)
	query := grantstore.Query{
		Filter: grantstore.Filter{
			SubjectID: p.text("subject_id"), SessionID: p.text("session_id"), ClientID: p.text("client_id"),
			Type: grantstore.Type(p.text("type")),
		},
		Order: p.order(), Count: p.count(), ResultsToken: p.text("results_token"),
		Prior: p.boolean("request_prior_results"),
	}
	if p.err != nil {
		return p.err
	}
	page, err := m.sessions.QueryGrants(r.Context(), query)
	if err != nil {
		return err
	}
	body := pageOf(page.Grants, grantOf)
	body.ResultsToken, body.HasPrevResults = page.ResultsToken, page.HasPrev
	body.HasNextResults = page.HasNext
	body.write(w, p)
	return nil
}

func (m *mount) removeGrants(w http.ResponseWriter, r *http.Request, audit *audit) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	var subjectID, sessionID, clientID, kind id
	var reason string
	err := readBody(w, r, map[string]any{
		"subject_id": &subjectID, "session_id": &sessionID, "client_id": &clientID, "type": &kind,
		"reason": &reason,
	})
	if err != nil {
		return err
	}
	audit.add(
		slog.String("subject_id", string(subjectID)), slog.String("session_id", string(sessionID)),
		slog.String("client_id", string(clientID)), slog.String("type", string(kind)),
		slog.String("reason", reason),
	)
	filter := grantstore.Filter{
		SubjectID: string(subjectID), SessionID: string(sessionID), ClientID: string(clientID),
		Type: grantstore.Type(kind),
	}
	after := m.countGrants(r.Context(), audit, filter)
	removed, err := m.sessions.RemoveGrants(r.Context(),
		hostadapter.GrantRemoval{Filter: filter, Reason: reason})
	if err != nil {
		return err
	}
	after()
	audit.add(slog.Int("grants_revoked", removed.GrantsRevoked),
		slog.Int("consents_revoked", removed.ConsentsRevoked))
	writeJSON(w, http.StatusOK,
		grantsRemovedBody{GrantsRevoked: removed.GrantsRevoked, ConsentsRevoked: removed.ConsentsRevoked})
	return nil
}
