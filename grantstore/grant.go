package grantstore

// Grants, their types and their references.

import (
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxData bounds Grant.Data in bytes.
const MaxData = 128 << 10

// Type says what a grant is.
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

// IsToken reports whether a removal that revokes tokens revokes grants of this type.
func (t Type) IsToken() bool {
	switch t {
	case AuthorizationCode, OpenIDRequest, PKCERequest, RefreshToken, ReferenceToken:
		return true
	}
	return false
}

// IsCode reports whether the grant belongs to a code exchange that has not happened yet; such a grant never
// survives its session.
func (t Type) IsCode() bool {
	return t == AuthorizationCode || t == OpenIDRequest || t == PKCERequest
}

// Consumable reports whether a Batch may consume grants of this type.
func (t Type) Consumable() bool { return t == AuthorizationCode || t == RefreshToken }

// Ref names a grant.
type Ref struct {
	Type Type
	// Key is the ticketstore.KeyOf of the token's signature, or of another name of the grant.
	Key ticketstore.Key
}

// Grant is one persisted grant.
type Grant struct {
	Ref
	// RequestID is the token family: the id of the authorization request that all tokens descend from. It is
	// empty for grants that have no family.
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
	// Consumed is when a code or refresh token was used. Zero means not yet. The store sets it. Once the
	// grace of its use is over, a used grant has no SubjectID, Description and Data any more: the rest is
	// kept to detect its reuse.
	Consumed time.Time
	// Offline: the scope offline_access or offline was granted.
	Offline bool
	// Data is the request, sealed by the host; at most MaxData bytes. It is left out of query results.
	Data []byte
}

// LiveAt reports whether the grant by itself is live at now: not consumed and not past its Expires. Its
// session must be live too (rule 2).
func (g *Grant) LiveAt(now time.Time) bool {
	return g.Consumed.IsZero() && (g.Expires.IsZero() || now.Before(g.Expires))
}

// Validate refuses a grant that a store must not keep, naming the field at fault.
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
	// The token number that judges a grant of a session stands in the row of its client (rule 1).
	case g.SessionID != "" && g.ClientID == "":
		return ticketstore.Invalidf("client_id", "is empty in a grant of a session")
	case g.Created.IsZero():
		return ticketstore.Invalidf("created", "is not set")
	case len(g.Data) > MaxData:
		return ticketstore.Invalidf("data", "is longer than %d bytes", MaxData)
	}
	return nil
}

// Validate refuses an unknown type and the zero key.
func (r Ref) Validate() error {
	known := false
	for _, t := range Types {
		known = known || t == r.Type
	}
	switch {
	case !known:
		return ticketstore.Invalidf("type", "is not a grant type")
	case r.Key.IsZero():
		return ticketstore.Invalidf("key", "is not set")
	}
	return nil
}
