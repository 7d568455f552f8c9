package client

// Sessions: lists, lookup, removal.

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Session is a signed-in browser. Unknown values are zero.
type Session struct {
	SubjectID   string    `json:"subject_id"`
	SessionID   string    `json:"session_id"`
	DisplayName string    `json:"display_name,omitempty"`
	Created     time.Time `json:"created"`
	Renewed     time.Time `json:"renewed"`
	Expires     time.Time `json:"expires"`
	EndsAt      time.Time `json:"ends_at,omitzero"`
	Issuer      string    `json:"issuer"`
	AuthTime    time.Time `json:"auth_time"`
	ACR         string    `json:"acr,omitempty"`
	AMR         []string  `json:"amr,omitempty"`
	RemoteAddr  string    `json:"remote_addr,omitempty"`
	UserAgent   string    `json:"user_agent,omitempty"`
	ClientIDs   []string  `json:"client_ids"`
	// Properties are the properties that the host makes visible.
	Properties map[string]string `json:"properties,omitempty"`
}

// Use is a client's use of a session.
type Use struct {
	ClientID  string    `json:"client_id"`
	FirstUsed time.Time `json:"first_used"`
	LastUsed  time.Time `json:"last_used"`
	// Notify: the client is notified when the session ends. Coordinated: its refreshes extend the session.
	Notify      bool `json:"notify"`
	Coordinated bool `json:"coordinated"`
}

// SessionReport is a session with its clients and the number of its grants by type.
type SessionReport struct {
	Session
	Clients []Use          `json:"clients"`
	Grants  map[string]int `json:"grants"`
	// GrantsComplete is false if not all grants were counted.
	GrantsComplete bool `json:"grants_complete"`
}

// SessionQuery selects and pages sessions. Its conditions are ANDed; a zero field is no condition.
type SessionQuery struct {
	SubjectID, SessionID, ClientID string
	// DisplayName is a case-insensitive substring of the name.
	DisplayName string
	// From is inclusive, Before exclusive.
	CreatedFrom, CreatedBefore time.Time
	ExpiresFrom, ExpiresBefore time.Time
	Paging
}

// SessionPage is a page of sessions.
type SessionPage struct {
	Page[Session]
	// The totals are nil if unknown.
	TotalCount  *int `json:"total_count,omitempty"`
	TotalPages  *int `json:"total_pages,omitempty"`
	CurrentPage *int `json:"current_page,omitempty"`
}

func (q SessionQuery) values() url.Values {
	values := q.Paging.values()
	set(values, "subject_id", q.SubjectID)
	set(values, "session_id", q.SessionID)
	set(values, "client_id", q.ClientID)
	set(values, "display_name", q.DisplayName)
	setTime(values, "created_after", q.CreatedFrom)
	setTime(values, "created_before", q.CreatedBefore)
	setTime(values, "expires_after", q.ExpiresFrom)
	setTime(values, "expires_before", q.ExpiresBefore)
	return values
}

// Sessions returns all matching sessions, starting at the requested page.
func (c *Client) Sessions(ctx context.Context, query SessionQuery) iter.Seq2[Session, error] {
	return walk[Session](ctx, c, "/sessions", query.values(), query.Paging)
}

// SessionPage returns one page of sessions.
func (c *Client) SessionPage(ctx context.Context, query SessionQuery) (*SessionPage, error) {
	return get[SessionPage](ctx, c, "/sessions", query.values())
}

// Session returns one session. It returns ErrNotFound for an unknown or ended session.
func (c *Client) Session(ctx context.Context, sessionID string) (*SessionReport, error) {
	return get[SessionReport](ctx, c, "/sessions/"+url.PathEscape(sessionID), nil)
}

// Removal selects what to end. With its zero flags a removal ends the session, revokes its tokens and
// consents, and notifies its clients.
type Removal struct {
	// SubjectID, SessionID or both select sessions. One of them, or All, is required.
	SubjectID, SessionID string
	All                  bool
	// ClientIDs limits which clients' tokens and consents are revoked and which clients are notified. An
	// empty non-nil list is an error.
	ClientIDs []string
	// Reason is recorded in the audit. Clients do not see it.
	Reason                                                  string
	KeepSession, KeepTokens, KeepConsents, SkipNotification bool
	// DryRun counts without changing anything.
	DryRun bool
}

// removalBody is the JSON body of a Removal.
type removalBody struct {
	SubjectID string    `json:"subject_id,omitempty"`
	SessionID string    `json:"session_id,omitempty"`
	All       bool      `json:"all,omitempty"`
	ClientIDs *[]string `json:"client_ids,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Session   bool      `json:"remove_server_side_session"`
	Notify    bool      `json:"send_backchannel_logout_notification"`
	Tokens    bool      `json:"revoke_tokens"`
	Consents  bool      `json:"revoke_consents"`
	DryRun    bool      `json:"dry_run,omitempty"`
}

// Removed counts what a removal did, or would do.
type Removed struct {
	SessionsRemoved     int `json:"sessions_removed"`
	GrantsRevoked       int `json:"grants_revoked"`
	ConsentsRevoked     int `json:"consents_revoked"`
	NotificationsQueued int `json:"notifications_queued"`
	// ClientsLeftAlone are clients of the sessions that ClientIDs excludes, sorted: the first 4,096 of them.
	ClientsLeftAlone []string `json:"clients_left_alone"`
}

// RemoveSessions ends sessions. With All it starts a job and returns its id instead of counts, unless it is a
// dry run.
func (c *Client) RemoveSessions(
	ctx context.Context, removal Removal,
) (removed *Removed, job string, err error) {
	body := removalBody{
		SubjectID: removal.SubjectID, SessionID: removal.SessionID, All: removal.All, Reason: removal.Reason,
		Session: !removal.KeepSession, Notify: !removal.SkipNotification, Tokens: !removal.KeepTokens,
		Consents: !removal.KeepConsents, DryRun: removal.DryRun,
	}
	if removal.ClientIDs != nil {
		body.ClientIDs = &removal.ClientIDs
	}
	var answer struct {
		Removed
		Job string `json:"job"`
	}
	what := call{method: http.MethodPost, path: "/sessions/remove", body: body, safe: removal.DryRun}
	switch err := c.do(ctx, what, &answer); {
	case err != nil:
		return nil, "", err
	case answer.Job != "":
		return nil, answer.Job, nil
	}
	return &answer.Removed, "", nil
}

// DeleteSession ends one session with all its grants. It returns ErrNotFound if there is nothing to end.
func (c *Client) DeleteSession(ctx context.Context, sessionID string) (*Removed, error) {
	return ask[Removed](ctx, c, call{
		method: http.MethodDelete, path: "/sessions/" + url.PathEscape(sessionID),
	})
}
