package grantstore

// Grants, their types and their references.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxData bounds Grant.Data in bytes.
const MaxData = 128 << 10

// Type is the type of a grant.
type Type string

// The types of grants. The first five are what "tokens" means in a removal.
const (
	AuthorizationCode   Type = "authorization_code"
	OpenIDRequest       Type = "openid_request"
	PKCERequest         Type = "pkce_request"
	RefreshToken        Type = "refresh_token"
	ReferenceToken      Type = "reference_token" // an access token
	UserConsent         Type = "user_consent"
	PushedAuthorization Type = "pushed_authorization_request"
	JTI                 Type = "jti"
)

// Types lists every type.
var Types = []Type{
	AuthorizationCode, OpenIDRequest, PKCERequest, RefreshToken, ReferenceToken, UserConsent,
	PushedAuthorization, JTI,
}

// IsToken reports whether a removal with revoke_tokens revokes grants of this type.
func (t Type) IsToken() bool {
	switch t {
	case AuthorizationCode, OpenIDRequest, PKCERequest, RefreshToken, ReferenceToken:
		return true
	}
	return false
}

// IsCode reports whether grants of this type belong to a pending code exchange; they never survive their
// session.
func (t Type) IsCode() bool {
	return t == AuthorizationCode || t == OpenIDRequest || t == PKCERequest
}

// Consumable reports whether a Batch may consume grants of this type.
func (t Type) Consumable() bool { return t == AuthorizationCode || t == RefreshToken }

// Ref identifies a grant.
type Ref struct {
	Type Type
	// Key is the ticketstore.KeyOf of the token's signature, or of another identifier of the grant.
	Key ticketstore.Key
}

// Grant is a persisted grant.
type Grant struct {
	Ref
	// RequestID is the token family: the id of the authorization request from which all its tokens descend.
	// Empty for a grant without a family.
	RequestID string
	// SubjectID, SessionID and ClientID are its owners. SessionID is empty for a grant without a session
	// (client credentials, password).
	SubjectID   string
	SessionID   string
	ClientID    string
	Description string
	Created     time.Time
	// Expires is when the grant stops being live. Zero means never.
	Expires time.Time
	// Consumed is when a code or refresh token was used. Zero means not yet. The store sets it. After the
	// grace period of its use, the store drops SubjectID, Description and Data of a used grant: the rest is
	// kept to detect its reuse.
	Consumed time.Time
	// Offline: the scope offline_access or offline was granted.
	Offline bool
	// Data is the request, sealed by the host; at most MaxData bytes. Query results omit it.
	Data []byte
}

// LiveAt reports whether the grant itself is live at now: neither consumed nor past its Expires. Its session
// must be live too (rule 2).
func (g *Grant) LiveAt(now time.Time) bool {
	return g.Consumed.IsZero() && (g.Expires.IsZero() || now.Before(g.Expires))
}

// Validate returns an error that names the field at fault if a store must not keep the grant.
func (g *Grant) Validate() error {
	if err := g.Ref.Validate(); err != nil {
		return err
	}
	for _, id := range []struct{ field, value string }{
		{"request_id", g.RequestID}, {"subject_id", g.SubjectID}, {"session_id", g.SessionID},
		{"client_id", g.ClientID},
	} {
		if err := ticketstore.CheckText(id.field, id.value, ticketstore.MaxID); err != nil {
			return err
		}
	}
	if err := ticketstore.CheckText("description", g.Description, ticketstore.MaxText); err != nil {
		return err
	}
	switch {
	// The token number that decides whether a grant is revoked is in the row of the session's client (rule
	// 1).
	case g.SessionID != "" && g.ClientID == "":
		return ticketstore.Invalidf("client_id", "is empty in a grant of a session")
	case g.Created.IsZero():
		return ticketstore.Invalidf("created", "is not set")
	case len(g.Data) > MaxData:
		return ticketstore.Invalidf("data", "is longer than %d bytes", MaxData)
	}
	return nil
}

// Validate returns an error for an unknown type and for the zero key.
func (r Ref) Validate() error {
	switch {
	case !slices.Contains(Types, r.Type):
		return ticketstore.Invalidf("type", "is not a grant type")
	case r.Key.IsZero():
		return ticketstore.Invalidf("key", "is not set")
	}
	return nil
}
