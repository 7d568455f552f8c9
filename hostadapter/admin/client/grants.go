package client

// Grants: codes, tokens, consents.

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Grant is a live code, token, consent, pushed request or replay mark.
type Grant struct {
	// ID identifies the grant in a GrantRemoval.
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	SubjectID   string    `json:"subject_id,omitempty"`
	SessionID   string    `json:"session_id,omitempty"`
	ClientID    string    `json:"client_id,omitempty"`
	RequestID   string    `json:"request_id,omitempty"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	// Expires is zero if the grant does not expire.
	Expires time.Time `json:"expires,omitzero"`
	// Offline reports whether the grant may outlive its session.
	Offline bool `json:"offline"`
}

// GrantFilter selects grants. Its conditions are ANDed; a zero field is no condition.
type GrantFilter struct {
	SubjectID string `json:"subject_id,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	// Type is one of grantstore.Types, such as "refresh_token".
	Type string `json:"type,omitempty"`
}

// GrantQuery selects and pages grants.
type GrantQuery struct {
	GrantFilter
	Paging
}

func (q GrantQuery) values() url.Values {
	values := q.Paging.values()
	set(values, "subject_id", q.SubjectID)
	set(values, "session_id", q.SessionID)
	set(values, "client_id", q.ClientID)
	set(values, "type", q.Type)
	return values
}

// Grants returns all matching live grants, starting at the requested page.
func (c *Client) Grants(ctx context.Context, query GrantQuery) iter.Seq2[Grant, error] {
	return walk[Grant](ctx, c, "/grants", query.values(), query.Paging)
}

// GrantPage returns one page of grants.
func (c *Client) GrantPage(ctx context.Context, query GrantQuery) (*Page[Grant], error) {
	return get[Page[Grant]](ctx, c, "/grants", query.values())
}

// GrantsRemoved counts what a removal removed.
type GrantsRemoved struct {
	GrantsRevoked   int `json:"grants_revoked"`
	ConsentsRevoked int `json:"consents_revoked"`
}

// GrantRemoval selects the grants to remove. Without an id and without conditions it is ErrInvalid.
type GrantRemoval struct {
	// ID selects one grant (Grant.ID) and excludes conditions. A code or a refresh token is removed with all
	// tokens derived from it, an access token or a consent alone.
	ID string `json:"id,omitempty"`
	GrantFilter
	// Reason is recorded in the audit.
	Reason string `json:"reason,omitempty"`
	// DryRun counts without removing anything.
	DryRun bool `json:"dry_run,omitempty"`
}

// RemoveGrants removes grants and counts them. It is no error if nothing matches.
func (c *Client) RemoveGrants(ctx context.Context, removal GrantRemoval) (*GrantsRemoved, error) {
	return ask[GrantsRemoved](ctx, c, call{
		method: http.MethodPost, path: "/grants/remove", body: removal, safe: removal.DryRun,
	})
}
