package admin

// GET /grants, POST /grants/remove.

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
)

// grantOf converts a grant to JSON, without its key and data.
func (m *mount) grantOf(g *grantstore.Grant) client.Grant {
	return client.Grant{
		ID: m.sessions.GrantID(g.Ref), Type: string(g.Type), SubjectID: g.SubjectID, SessionID: g.SessionID,
		ClientID: g.ClientID, RequestID: g.RequestID, Description: g.Description, Created: g.Created.UTC(),
		Expires: g.Expires.UTC(), Offline: g.Offline,
	}
}

func (m *mount) queryGrants(w http.ResponseWriter, r *http.Request, _ *audit) error {
	p := readParameters(r,
		append([]string{"subject_id", "session_id", "client_id", "type"}, pageParameters...)...)
	query := queryOf(p, grantstore.Filter{
		SubjectID: p.text("subject_id"), SessionID: p.text("session_id"), ClientID: p.text("client_id"),
		Type: grantstore.Type(p.text("type")),
	})
	if p.err != nil {
		return p.err
	}
	page, err := m.sessions.QueryGrants(r.Context(), query)
	if err != nil {
		return err
	}
	writeList(w, p, pageOf(page.Grants, m.grantOf, page.ResultsToken, page.HasPrev, page.HasNext))
	return nil
}

func (m *mount) removeGrants(w http.ResponseWriter, r *http.Request, audit *audit) error {
	var removal hostadapter.GrantRemoval
	of := &removal.Filter
	err := readBody(w, r, map[string]any{
		"id": &removal.ID, "subject_id": &of.SubjectID, "session_id": &of.SessionID,
		"client_id": &of.ClientID, "type": &of.Type, "reason": &removal.Reason, "dry_run": &removal.DryRun,
	})
	if err != nil {
		return err
	}
	removed, err := m.remove(r.Context(), audit, removal)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK,
		client.GrantsRemoved{GrantsRevoked: removed.GrantsRevoked, ConsentsRevoked: removed.ConsentsRevoked})
	return nil
}

// remove removes grants and records filter and count in the audit.
func (m *mount) remove(
	ctx context.Context, audit *audit, removal hostadapter.GrantRemoval,
) (*hostadapter.GrantRemovalResult, error) {
	about := func(f grantstore.Filter) {
		audit.add(slog.String("subject_id", f.SubjectID), slog.String("session_id", f.SessionID),
			slog.String("client_id", f.ClientID), slog.String("type", string(f.Type)))
	}
	audit.add(slog.String("reason", removal.Reason), slog.Bool("dry_run", removal.DryRun))
	after := func() {}
	if removal.ID != "" {
		audit.add(slog.String("grant_id", auditlog.Bounded(removal.ID)))
	} else {
		about(removal.Filter)
		if !removal.DryRun {
			after = m.countGrants(ctx, audit, removal.Filter)
		}
	}
	removed, err := m.sessions.RemoveGrants(ctx, removal)
	if err != nil {
		return nil, err
	}
	after()
	if removal.ID != "" {
		about(removed.Target)
	}
	audit.add(slog.Int("grants_revoked", removed.GrantsRevoked),
		slog.Int("consents_revoked", removed.ConsentsRevoked))
	return removed, nil
}
