package admin

// GET /sessions, POST /sessions/remove, DELETE /sessions/{session_id}.

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// sessionOf converts a session to JSON, without its key and ticket.
func (m *mount) sessionOf(detail *ticketstore.SessionDetail) client.Session {
	body := client.Session{
		SubjectID: detail.SubjectID, SessionID: detail.SessionID, DisplayName: detail.DisplayName,
		Created: detail.Created.UTC(), Renewed: detail.Renewed.UTC(), Expires: detail.Expires.UTC(),
		EndsAt: detail.EndsAt.UTC(), Issuer: detail.Issuer,
		AuthTime: detail.AuthTime.UTC(), ACR: detail.ACR, AMR: detail.AMR, RemoteAddr: detail.RemoteAddr,
		UserAgent:  detail.UserAgent,
		ClientIDs:  make([]string, 0, len(detail.Clients)),
		Properties: m.sessions.SessionProperties(&detail.Session),
	}
	for _, use := range detail.Clients {
		body.ClientIDs = append(body.ClientIDs, use.ClientID)
	}
	return body
}

func known(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func (m *mount) querySessions(w http.ResponseWriter, r *http.Request, _ *audit) error {
	p := readParameters(r, slices.Concat(sessionFilters, pageParameters)...)
	query := p.sessionQuery(p.time)
	if p.err != nil {
		return p.err
	}
	page, err := m.sessions.QuerySessions(r.Context(), query)
	if err != nil {
		return err
	}
	body := client.SessionPage{
		Page:       pageOf(page.Sessions, m.sessionOf, page.ResultsToken, page.HasPrev, page.HasNext),
		TotalCount: known(page.TotalCount), TotalPages: known(page.TotalPages),
		CurrentPage: known(page.CurrentPage),
	}
	writeLinks(w, p, body.ResultsToken, body.HasPrev, body.HasNext)
	writeJSON(w, http.StatusOK, body)
	return nil
}

// errNoSession is the answer about a session that does not exist, or not any more.
var errNoSession = &problem{
	status: http.StatusNotFound, detail: "There is no such active session. It may have ended.",
}

func (m *mount) getSession(w http.ResponseWriter, r *http.Request, _ *audit) error {
	sid, err := pathValue(r, "session_id", "")
	if err != nil {
		return err
	}
	report, err := m.sessions.SessionByID(r.Context(), sid)
	if err != nil {
		return notFound(err, errNoSession.detail)
	}
	body := client.SessionReport{
		Session: m.sessionOf(&report.SessionDetail), Clients: make([]client.Use, 0, len(report.Clients)),
		Grants: make(map[string]int, len(report.Grants)), GrantsComplete: report.GrantsCounted,
	}
	for _, use := range report.Clients {
		body.Clients = append(body.Clients, client.Use{
			ClientID: use.ClientID, FirstUsed: use.FirstUsed.UTC(), LastUsed: use.LastUsed.UTC(),
			Notify: use.Notify, Coordinated: use.Coordinated,
		})
	}
	for kind, count := range report.Grants {
		body.Grants[string(kind)] = count
	}
	writeJSON(w, http.StatusOK, body)
	return nil
}

func (m *mount) removeSessions(w http.ResponseWriter, r *http.Request, audit *audit) error {
	var removal hostadapter.SessionRemoval
	session, notify, tokens, consents := true, true, true, true
	err := readBody(w, r, map[string]any{
		"subject_id": &removal.SubjectID, "session_id": &removal.SessionID, "client_ids": &removal.ClientIDs,
		"reason":                     &removal.Reason,
		"remove_server_side_session": &session, "send_backchannel_logout_notification": &notify,
		"revoke_tokens": &tokens, "revoke_consents": &consents, "dry_run": &removal.DryRun,
		"all": &removal.All,
	})
	if err != nil {
		return err
	}
	removal.KeepSession, removal.SkipNotification = !session, !notify
	removal.KeepTokens, removal.KeepConsents = !tokens, !consents
	audit.add(removalOf(&removal)...)
	after := func() {}
	if !removal.DryRun {
		after = m.countSessions(r.Context(), audit, ticketstore.SessionFilter{
			SubjectID: removal.SubjectID, SessionID: removal.SessionID,
		})
	}
	result, err := m.sessions.RemoveSessions(r.Context(), removal)
	if err != nil {
		return err
	}
	if result.JobID != "" {
		audit.startedJob(result.JobID)
		writeStarted(w, result.JobID)
		return nil
	}
	after()
	writeResult(w, audit, result)
	return nil
}

func (m *mount) deleteSession(w http.ResponseWriter, r *http.Request, audit *audit) error {
	sid, err := pathValue(r, "session_id", "")
	if err != nil {
		return err
	}
	audit.add(slog.String("session_id", sid))
	if err := readNoBody(w, r); err != nil {
		return err
	}
	after := m.countSessions(r.Context(), audit, ticketstore.SessionFilter{SessionID: sid})
	result, err := m.sessions.RemoveSessions(r.Context(), hostadapter.SessionRemoval{SessionID: sid})
	if err != nil {
		return notFound(err, errNoSession.detail)
	}
	after()
	// An ended session still has its ended record, and may have offline tokens, which this revokes.
	if result.SessionsRemoved+result.GrantsRevoked+result.ConsentsRevoked+result.NotificationsQueued == 0 {
		return errNoSession
	}
	writeResult(w, audit, result)
	return nil
}

func writeResult(w http.ResponseWriter, audit *audit, result *logout.Result) {
	audit.add(counted(result)...)
	writeJSON(w, http.StatusOK, resultOf(result))
}

func resultOf(result *logout.Result) *client.Removed {
	body := &client.Removed{
		SessionsRemoved: result.SessionsRemoved, GrantsRevoked: result.GrantsRevoked,
		ConsentsRevoked:     result.ConsentsRevoked,
		NotificationsQueued: result.NotificationsQueued, ClientsLeftAlone: result.ClientsLeftAlone,
	}
	if body.ClientsLeftAlone == nil {
		body.ClientsLeftAlone = []string{}
	}
	return body
}
