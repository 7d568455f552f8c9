package fositestore

// Bind sets iss, sub, sid and the claims of the sign-in in a fosite session.

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// ErrUnbound means that a user's grant cannot be bound to the session of the sign-in: no user is signed in
// (call Adapter.SignIn below Adapter.Middleware), another user is signed in, or the host's type of
// fosite.Session cannot hold a sid.
var ErrUnbound = errors.New("authorization is not bound to a live session")

// sidClaim is the claim of OpenID Connect Back-Channel Logout 1.0, section 2.1.
const sidClaim = "sid"

// SessionIDCarrier is implemented by a custom fosite.Session that is neither an openid.Session nor an
// oauth2.JWTSessionContainer. Its JSON must contain the sid.
type SessionIDCarrier interface {
	SetSessionID(sid string)
	GetSessionID() string
}

// Bind binds a fosite session to the user's session, as Provider.NewAuthorizeResponse does. It sets iss, sub,
// sid, auth_time, acr and amr of the ID token, and sub and sid of a JWT access token. It supports
// openid.DefaultSession, oauth2.JWTSession, fosite.DefaultSession, types that embed them, and any
// SessionIDCarrier. It returns ErrUnbound if the fosite session has another subject or cannot hold a sid.
//
// Every client gets the subject of the session as sub. Pairwise subject identifiers (OpenID Connect Core 1.0,
// section 8.1), which differ by client, are refused: a removal by subject would not find their grants, and
// logout tokens would name a subject that the client does not know.
func Bind(session fosite.Session, live *hostadapter.Session) error {
	if isNil(session) || live == nil {
		return fmt.Errorf("fositestore: %w: no session", ErrUnbound)
	}
	if subject := subjectOf(session); subject != "" && subject != live.SubjectID {
		return fmt.Errorf("fositestore: %w: the grant is for another subject than the one signed in",
			ErrUnbound)
	}
	if err := bindIDToken(idTokenOf(session), live); err != nil {
		return err
	}
	if s, ok := session.(oauth2.JWTSessionContainer); ok {
		if claims, ok := s.GetJWTClaims().(*jwt.JWTClaims); ok && claims != nil {
			claims.Subject = live.SubjectID
			claims.Add(sidClaim, live.SessionID)
		}
	}
	if extra := extraClaims(session); extra != nil {
		extra[sidClaim] = live.SessionID
	}
	if s, ok := session.(SessionIDCarrier); ok {
		s.SetSessionID(live.SessionID)
	}
	if s, ok := session.(interface{ SetSubject(subject string) }); ok {
		s.SetSubject(live.SubjectID)
	}
	if SessionIDOf(session) != live.SessionID {
		return fmt.Errorf("fositestore: %w: type %T has no place for a sid: implement SetSessionID and "+
			"GetSessionID", ErrUnbound, session)
	}
	return nil
}

func bindIDToken(claims *jwt.IDTokenClaims, live *hostadapter.Session) error {
	if claims == nil {
		return nil
	}
	if claims.Subject != "" && claims.Subject != live.SubjectID {
		return fmt.Errorf("fositestore: %w: the ID token is for another subject than the one signed in",
			ErrUnbound)
	}
	claims.Issuer, claims.Subject = live.Issuer, live.SubjectID
	// auth_time is in whole seconds, and fosite compares it with other times before encoding it.
	claims.AuthTime = live.AuthTime.UTC().Truncate(time.Second)
	if live.ACR != "" {
		claims.AuthenticationContextClassReference = live.ACR
	}
	if len(live.AMR) > 0 {
		claims.AuthenticationMethodsReferences = live.AMR
	}
	claims.Add(sidClaim, live.SessionID)
	return nil
}

// SessionIDOf returns the sid that Bind set in a fosite session, or "".
func SessionIDOf(session fosite.Session) string {
	if isNil(session) {
		return ""
	}
	if s, ok := session.(SessionIDCarrier); ok {
		if sid := s.GetSessionID(); sid != "" {
			return sid
		}
	}
	if claims := idTokenOf(session); claims != nil {
		if sid, ok := claims.Extra[sidClaim].(string); ok {
			return sid
		}
	}
	if s, ok := session.(oauth2.JWTSessionContainer); ok {
		if claims, ok := s.GetJWTClaims().(*jwt.JWTClaims); ok && claims != nil {
			if sid, ok := claims.Extra[sidClaim].(string); ok {
				return sid
			}
		}
	}
	sid, _ := extraClaims(session)[sidClaim].(string)
	return sid
}

// idTokenOf returns the claims of a session's ID token, to be modified in place, or nil.
func idTokenOf(session fosite.Session) *jwt.IDTokenClaims {
	if s, ok := session.(openid.Session); ok {
		return s.IDTokenClaims()
	}
	return nil
}

// extraClaims returns the extra claims, to be modified in place, of a session that has no better place for a
// sid, or nil.
func extraClaims(session fosite.Session) map[string]any {
	switch session.(type) {
	case SessionIDCarrier, openid.Session, oauth2.JWTSessionContainer: // a JWT session would return a copy
		return nil
	}
	if s, ok := session.(fosite.ExtraClaimsSession); ok {
		return s.GetExtraClaims()
	}
	return nil
}

// subjectOf returns the subject of the session. Some hosts set it only in the ID token's claims.
func subjectOf(session fosite.Session) string {
	if subject := session.GetSubject(); subject != "" {
		return subject
	}
	if claims := idTokenOf(session); claims != nil {
		return claims.Subject
	}
	return ""
}

// bindRequestTime sets the time against which fosite checks prompt and max_age to that of the request. Hosts
// create the fosite session after the login form, so that its default would be after the sign-in. An earlier
// time was set by the host and is kept.
func bindRequestTime(session fosite.Session, requestedAt time.Time) {
	claims := idTokenOf(session)
	if claims == nil {
		return
	}
	if claims.RequestedAt.IsZero() || claims.RequestedAt.After(requestedAt) {
		claims.RequestedAt = requestedAt
	}
	claims.RequestedAt = claims.RequestedAt.UTC().Truncate(time.Second)
}

// addCodeHash sets the c_hash of a hybrid flow, which fosite computes after storing the code and before
// storing the OpenID record.
func addCodeHash(session fosite.Session, r *row) error {
	s, ok := session.(openid.Session)
	if !ok || isNil(session) || !strings.Contains(r.request.formValue("response_type"), " ") {
		return nil
	}
	stored := newSameType(session)
	if stored == nil {
		return nil
	}
	if err := hydrate(stored, r.request.session()); err != nil {
		return err
	}
	if from := stored.(openid.Session).IDTokenClaims(); s.IDTokenClaims().CodeHash == "" {
		s.IDTokenClaims().CodeHash = from.CodeHash
	}
	return nil
}

// newSameType returns an empty session of the given session's type, or nil if that is not a pointer to a
// struct.
func newSameType(session fosite.Session) fosite.Session {
	t := reflect.TypeOf(session)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	fresh, _ := reflect.New(t.Elem()).Interface().(fosite.Session)
	return fresh
}

// isNil reports whether a session, a client or a key is nil or a nil pointer.
func isNil(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
