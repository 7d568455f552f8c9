package fositestore

// Decoding of the sessions in a grant's data.

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/plugin/protofields"
)

// reader decodes requests and sessions.
type reader struct{ protofields.Reader }

// storedSession is a requestpb.Session: its kind, and the encoded message of that kind.
type storedSession struct {
	kind int
	text string
}

// The kinds of sessions, which are the fields of requestpb.Session.
const (
	noSession  = 0
	openIDKind = 1
	jwtKind    = 2
	plainKind  = 3
	jsonKind   = 4
	brokenKind = -1
)

func (s stored) session() storedSession {
	var r reader
	return r.session(r.Text(s.message(), sessionField))
}

func (r *reader) session(message string) (session storedSession) {
	for f := protofields.Of(message); r.Next(&f); {
		if f.IsText && f.Number >= openIDKind && f.Number <= jsonKind { // later releases may add fields
			session = storedSession{f.Number, f.Text}
		}
	}
	if r.Broken {
		session.kind = brokenKind
	}
	return session
}

// hydrate fills the session that fosite passes from the stored session. Stored values replace the session's,
// except expiries that were not stored: fosite sets the expiries of the new tokens before it reads a code
// again. If the types differ, the values are converted through JSON.
func hydrate(session fosite.Session, stored storedSession) error {
	var r reader
	var own fosite.Session
	var expiresAt map[fosite.TokenType]time.Time
	switch stored.kind {
	case noSession:
		return nil
	case jsonKind:
		return hydrateJSON(session, []byte(stored.text))
	case openIDKind:
		s := ofType[openid.DefaultSession](session)
		r.openID(s, stored.text)
		own, expiresAt = s, s.ExpiresAt
	case jwtKind:
		s := ofType[oauth2.JWTSession](session)
		r.jwt(s, stored.text)
		own, expiresAt = s, s.ExpiresAt
	case plainKind:
		s := ofType[fosite.DefaultSession](session)
		r.plain(s, stored.text)
		own, expiresAt = s, s.ExpiresAt
	default:
		return errData
	}
	switch {
	case r.Broken:
		return errData
	case own == session:
		return nil
	}
	return convert(own, session, expiresAt)
}

// ofType returns the session if it has the type *S, else a new *S.
func ofType[S any](session fosite.Session) *S {
	if s, ok := any(session).(*S); ok {
		return s
	}
	return new(S)
}

// newOfKind returns an empty session of the stored type, or nil for a host's own type and for no session.
func newOfKind(kind int) fosite.Session {
	switch kind {
	case openIDKind:
		return &openid.DefaultSession{}
	case jwtKind:
		return &oauth2.JWTSession{}
	case plainKind:
		return &fosite.DefaultSession{}
	}
	return nil
}

// convert fills a session of another type through JSON. Expiries are copied separately, because the types
// name them differently.
func convert(from, to fosite.Session, expiresAt map[fosite.TokenType]time.Time) error {
	data, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("convert stored session: %w", err)
	}
	if err := hydrateJSON(to, data); err != nil {
		return err
	}
	for t, at := range expiresAt {
		if utf8.ValidString(string(t)) { // JSON replaces invalid UTF-8
			to.SetExpiresAt(t, at)
		}
	}
	return nil
}

func hydrateJSON(session fosite.Session, data []byte) error {
	if err := json.Unmarshal(data, session); err != nil {
		return fmt.Errorf("decode session of type %T: %w", session, err)
	}
	return nil
}

// openID decodes a requestpb.OpenIDSession. It reuses the session's pointers, which handlers keep
// (openid.Session).
func (r *reader) openID(s *openid.DefaultSession, message string) {
	claims, found := r.tokenSession(message, &s.Headers, &s.ExpiresAt, &s.Username, &s.Subject)
	switch {
	case !found:
		s.Claims = nil
		return
	case s.Claims == nil:
		s.Claims = &jwt.IDTokenClaims{}
	}
	r.idTokenClaims(s.Claims, claims)
}

// tokenSession decodes the fields that requestpb.OpenIDSession and requestpb.JWTSession share, and returns
// the encoded claims.
func (r *reader) tokenSession(
	message string,
	headers **jwt.Headers, expiresAt *map[fosite.TokenType]time.Time, username, subject *string,
) (claims string, found bool) {
	given := *headers
	*headers, *username, *subject = nil, "", ""
	for f := protofields.Of(message); r.Next(&f); {
		switch f.Number {
		case 1:
			claims, found = f.Text, true
		case 2:
			*headers = r.headers(given, f.Text)
		case 3:
			r.expiry(expiresAt, f.Text)
		case 4:
			*username = f.Text
		case 5:
			*subject = f.Text
		}
	}
	return claims, found
}

func (r *reader) idTokenClaims(c *jwt.IDTokenClaims, message string) {
	*c = jwt.IDTokenClaims{}
	for f := protofields.Of(message); r.Next(&f); {
		switch f.Number {
		case 1:
			c.JTI = f.Text
		case 2:
			c.Issuer = f.Text
		case 3:
			c.Subject = f.Text
		case 4:
			if c.Audience == nil {
				c.Audience = r.Texts(message, 4)
			}
		case 5:
			c.Nonce = f.Text
		case 6:
			c.ExpiresAt = r.moment(f.Text)
		case 7:
			c.IssuedAt = r.moment(f.Text)
		case 8:
			c.RequestedAt = r.moment(f.Text)
		case 9:
			c.AuthTime = r.moment(f.Text)
		case 10:
			c.AccessTokenHash = f.Text
		case 11:
			c.AuthenticationContextClassReference = f.Text
		case 12:
			if c.AuthenticationMethodsReferences == nil {
				c.AuthenticationMethodsReferences = r.Texts(message, 12)
			}
		case 13:
			c.CodeHash = f.Text
		case 14:
			c.Extra = r.object(f.Text)
		}
	}
}

// jwt decodes a requestpb.JWTSession.
func (r *reader) jwt(s *oauth2.JWTSession, message string) {
	claims, found := r.tokenSession(message, &s.JWTHeader, &s.ExpiresAt, &s.Username, &s.Subject)
	switch {
	case !found:
		s.JWTClaims = nil
		return
	case s.JWTClaims == nil:
		s.JWTClaims = &jwt.JWTClaims{}
	}
	r.jwtClaims(s.JWTClaims, claims)
}

func (r *reader) jwtClaims(c *jwt.JWTClaims, message string) {
	*c = jwt.JWTClaims{Audience: r.Texts(message, 3), Scope: r.Texts(message, 8)}
	for f := protofields.Of(message); r.Next(&f); {
		switch f.Number {
		case 1:
			c.Subject = f.Text
		case 2:
			c.Issuer = f.Text
		case 4:
			c.JTI = f.Text
		case 5:
			c.IssuedAt = r.moment(f.Text)
		case 6:
			c.NotBefore = r.moment(f.Text)
		case 7:
			c.ExpiresAt = r.moment(f.Text)
		case 9:
			if f.Value != 0 && c.Scope == nil {
				c.Scope = []string{}
			}
		case 10:
			c.Extra = r.object(f.Text)
		case 11:
			c.ScopeField = jwt.JWTScopeFieldEnum(f.Value)
		}
	}
}

// plain decodes a requestpb.PlainSession.
func (r *reader) plain(s *fosite.DefaultSession, message string) {
	s.Username, s.Subject, s.Extra = "", "", nil
	for f := protofields.Of(message); r.Next(&f); {
		switch f.Number {
		case 1:
			r.expiry(&s.ExpiresAt, f.Text)
		case 2:
			s.Username = f.Text
		case 3:
			s.Subject = f.Text
		case 4:
			s.Extra = r.object(f.Text)
		}
	}
}

func (r *reader) headers(headers *jwt.Headers, message string) *jwt.Headers {
	if headers == nil {
		headers = &jwt.Headers{}
	}
	headers.Extra = nil
	if extra, found := r.Find(message, 1); found {
		headers.Extra = r.object(extra.Text)
	}
	return headers
}

func (r *reader) expiry(expiry *map[fosite.TokenType]time.Time, message string) {
	if *expiry == nil {
		*expiry = map[fosite.TokenType]time.Time{}
	}
	at, _ := r.Find(message, 2)
	moment := time.Time{}
	if at.Number != 0 {
		moment = r.moment(at.Text)
	}
	(*expiry)[fosite.TokenType(r.Text(message, 1))] = moment
}

// moment decodes a requestpb.Moment, ignoring the offset. An absent Moment is the zero time.
func (r *reader) moment(message string) time.Time {
	seconds, nanos, _ := r.momentParts(message)
	return time.Unix(seconds, nanos).UTC()
}

func (r *reader) momentParts(message string) (seconds, nanos int64, offset int) {
	for f := protofields.Of(message); r.Next(&f); {
		switch f.Number {
		case 1:
			seconds = int64(f.Value)
		case 2:
			nanos = int64(int32(f.Value))
		case 3:
			offset = int(int32(f.Value))
		}
	}
	return seconds, nanos, offset
}
