package fositestore

// Encoding of requests into a grant's data, as messages of requestpb.

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/text/language"
)

// dataVersion is the first byte of a grant's data. Readers refuse unknown versions.
const dataVersion = 1

// encoding selects the parts of a request that are stored.
type encoding struct {
	// withoutSession omits the session: pushed requests have none, and the session of PKCE records is not
	// read.
	withoutSession bool
	// dropFormFields are form fields that must not be stored.
	dropFormFields []string
}

// stored encodes the request that is sealed into a grant's data.
func (w *writer) stored(request fosite.Requester, what encoding) {
	w.data = append(w.data, dataVersion)
	w.text(idField, request.GetID())
	w.moment(requestedAtField, request.GetRequestedAt())
	if client := request.GetClient(); client != nil {
		w.text(clientIDField, client.GetID())
	}
	w.texts(requestedScopesField, request.GetRequestedScopes())
	w.texts(grantedScopesField, request.GetGrantedScopes())
	w.texts(requestedAudienceField, request.GetRequestedAudience())
	w.texts(grantedAudienceField, request.GetGrantedAudience())
	w.form(request.GetRequestForm(), what.dropFormFields)
	if g11n, ok := request.(fosite.G11NContext); ok && g11n.GetLang() != language.Und {
		w.text(langField, g11n.GetLang().String())
	}
	if !what.withoutSession {
		w.session(request.GetSession())
	}
	if authorize, ok := request.(fosite.AuthorizeRequester); ok {
		w.message(authorizeField, func() { w.authorize(authorize) })
	}
}

func (w *writer) authorize(request fosite.AuthorizeRequester) {
	w.texts(1, request.GetResponseTypes())
	if own, ok := request.(*fosite.AuthorizeRequest); ok {
		w.texts(2, own.HandledResponseTypes)
	}
	if uri := request.GetRedirectURI(); uri != nil {
		w.text(3, uri.String())
	}
	w.text(4, request.GetState())
	w.text(5, string(request.GetResponseMode()))
	w.text(6, string(request.GetDefaultResponseMode()))
}

func (w *writer) form(form url.Values, drop []string) {
	for name, values := range form {
		if slices.Contains(drop, name) {
			continue
		}
		w.message(formField, func() {
			w.text(1, name)
			w.texts(2, values)
		})
	}
}

// session encodes fosite's own session types field by field, at a tenth of the cost of JSON. Other types are
// encoded as JSON.
func (w *writer) session(session fosite.Session) {
	if isNil(session) {
		return
	}
	w.message(sessionField, func() {
		switch s := session.(type) {
		case *openid.DefaultSession:
			w.message(openIDKind, func() { w.openID(s) })
		case *oauth2.JWTSession:
			w.message(jwtKind, func() { w.jwt(s) })
		case *fosite.DefaultSession:
			w.message(plainKind, func() {
				w.expiry(1, s.ExpiresAt)
				w.text(2, s.Username)
				w.text(3, s.Subject)
				w.object(4, s.Extra)
			})
		default:
			w.customSession(s)
		}
	})
}

// customSession encodes a session of a host's own type. If its JSON is null, no kind is written.
func (w *writer) customSession(session fosite.Session) {
	data, err := json.Marshal(session)
	switch {
	case err != nil:
		w.fail(fmt.Errorf("encode session of type %T: %w", session, err))
	case string(data) != "null":
		w.member(jsonKind, string(data))
	}
}

func (w *writer) openID(s *openid.DefaultSession) {
	if c := s.Claims; c != nil {
		w.message(1, func() { w.idTokenClaims(c) })
	}
	w.headers(2, s.Headers)
	w.expiry(3, s.ExpiresAt)
	w.text(4, s.Username)
	w.text(5, s.Subject)
}

func (w *writer) idTokenClaims(c *jwt.IDTokenClaims) {
	w.text(1, c.JTI)
	w.text(2, c.Issuer)
	w.text(3, c.Subject)
	w.texts(4, c.Audience)
	w.text(5, c.Nonce)
	w.moment(6, c.ExpiresAt)
	w.moment(7, c.IssuedAt)
	w.moment(8, c.RequestedAt)
	w.moment(9, c.AuthTime)
	w.text(10, c.AccessTokenHash)
	w.text(11, c.AuthenticationContextClassReference)
	w.texts(12, c.AuthenticationMethodsReferences)
	w.text(13, c.CodeHash)
	w.object(14, c.Extra)
}

func (w *writer) jwt(s *oauth2.JWTSession) {
	if c := s.JWTClaims; c != nil {
		w.message(1, func() { w.jwtClaims(c) })
	}
	w.headers(2, s.JWTHeader)
	w.expiry(3, s.ExpiresAt)
	w.text(4, s.Username)
	w.text(5, s.Subject)
}

func (w *writer) jwtClaims(c *jwt.JWTClaims) {
	w.text(1, c.Subject)
	w.text(2, c.Issuer)
	w.texts(3, c.Audience)
	w.text(4, c.JTI)
	w.moment(5, c.IssuedAt)
	w.moment(6, c.NotBefore)
	w.moment(7, c.ExpiresAt)
	w.texts(8, c.Scope)
	if c.Scope != nil {
		w.number(9, 1)
	}
	w.object(10, c.Extra)
	w.number(11, uint64(c.ScopeField))
}

func (w *writer) headers(number int, headers *jwt.Headers) {
	if headers != nil {
		w.message(number, func() { w.object(1, headers.Extra) })
	}
}

func (w *writer) expiry(number int, expiry map[fosite.TokenType]time.Time) {
	for tokenType, at := range expiry {
		w.message(number, func() {
			w.text(1, string(tokenType))
			w.moment(2, at)
		})
	}
}
