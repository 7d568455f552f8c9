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
	// ID names the grant for a GrantRemoval.
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	SubjectID   string    `json:"subject_id,omitempty"`
	SessionID   string    `json:"session_id,omitempty"`
	ClientID    string    `json:"client_id,omitempty"`
	RequestID   string    `json:"request_id,omitempty"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	// Expires is zero where it does not.
	Expires time.Time `json:"expires,omitzero"`
	// Offline: it may outlive its session.
	Offline bool `json:"offline"`
}

// GrantFilter selects grants. Its conditions AND together; a zero field is no condition.
type GrantFilter struct {
	SubjectID string `json:"subject_id,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	// Type is one of grantstore.Types, such as "refresh_token".
	Type string `json:"type,omitempty"`
}

// GrantQuery asks for grants.
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

// Grants returns all live grants that match, from the page that is asked for on.
func (c *Client) Grants(ctx context.Context, query GrantQuery) iter.Seq2[Grant, error] {
	return walk[Grant](ctx, c, "/grants", query.values(), query.Paging)
}

// GrantPage returns one page of them.
func (c *Client) GrantPage(ctx context.Context, query GrantQuery) (*Page[Grant], error) {
	return get[Page[Grant]](ctx, c, "/grants", query.values())
}

// GrantsRemoved counts what a removal of grants did.
type GrantsRemoved struct {
	GrantsRevoked   int `json:"grants_revoked"`
	ConsentsRevoked int `json:"consents_revoked"`
}

// GrantRemoval asks for grants to be removed. A removal without an id and without a condition is ErrInvalid.
type GrantRemoval struct {
	// ID is that of one grant (Grant.ID), and excludes the conditions. A code or a refresh token goes with
	// all tokens that come from it, an access token or a consent alone.
	ID string `json:"id,omitempty"`
	GrantFilter
	// Reason is for the audit.
	Reason string `json:"reason,omitempty"`
	// DryRun counts, and changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// RemoveGrants removes grants and counts them. Nothing matched is no error.
func (c *Client) RemoveGrants(ctx context.Context, removal GrantRemoval) (*GrantsRemoved, error) {
	return ask[GrantsRemoved](ctx, c, call{
		method: http.MethodPost, path: "/grants/remove", body: removal, safe: removal.DryRun,
	})
}
