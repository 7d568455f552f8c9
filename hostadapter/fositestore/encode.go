package fositestore

// Requests as they are stored in a grant's data.

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
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore/internal/requestpb"
)

// dataVersion is the first byte of a grant's data. A reader refuses a version that it does not know.
const dataVersion = 1

// encoding says what of a request is stored.
type encoding struct {
	// withoutSession leaves the session out: of pushed requests, which have none, and of PKCE records, whose
	// session that is not read.
	withoutSession bool
	// dropFormFields are fields of the form that must not be stored.
	dropFormFields []string
}

// encodeRequest returns what is sealed into a grant's data.
func encodeRequest(request fosite.Requester, what encoding) ([]byte, error) {
	message := &requestpb.Request{
		Id:                request.GetID(),
		RequestedAt:       encodeMoment(request.GetRequestedAt()),
		RequestedScopes:   request.GetRequestedScopes(),
		GrantedScopes:     request.GetGrantedScopes(),
		RequestedAudience: request.GetRequestedAudience(),
		GrantedAudience:   request.GetGrantedAudience(),
		Form:              encodeForm(request.GetRequestForm(), what.dropFormFields),
	}
	if client := request.GetClient(); client != nil {
		message.ClientId = client.GetID()
	}
	if g11n, ok := request.(fosite.G11NContext); ok && g11n.GetLang() != language.Und {
		message.Lang = g11n.GetLang().String()
	}
	if !what.withoutSession {
		session, err := encodeSession(request.GetSession())
		if err != nil {
			return nil, err
		}
		message.Session = session
	}
	if authorize, ok := request.(fosite.AuthorizeRequester); ok {
		message.Authorize = encodeAuthorize(authorize)
	}
	return proto.MarshalOptions{}.MarshalAppend([]byte{dataVersion}, message)
}

func encodeAuthorize(request fosite.AuthorizeRequester) *requestpb.Authorize {
	message := &requestpb.Authorize{
		ResponseTypes:       request.GetResponseTypes(),
		State:               request.GetState(),
		ResponseMode:        string(request.GetResponseMode()),
		DefaultResponseMode: string(request.GetDefaultResponseMode()),
	}
	if uri := request.GetRedirectURI(); uri != nil {
		message.RedirectUri = uri.String()
	}
	if own, ok := request.(*fosite.AuthorizeRequest); ok {
		message.HandledResponseTypes = own.HandledResponseTypes
	}
	return message
}

func encodeForm(form url.Values, drop []string) []*requestpb.Field {
	fields := make([]*requestpb.Field, 0, len(form))
	for name, values := range form {
		if slices.Contains(drop, name) {
			continue
		}
		fields = append(fields, &requestpb.Field{Name: name, Values: values})
	}
	return fields
}

// encodeSession encodes fosite's own session types field by field, which costs a tenth of JSON, and any other
// in its own JSON.
func encodeSession(session fosite.Session) (*requestpb.Session, error) {
	if isNil(session) {
		return nil, nil
	}
	switch s := session.(type) {
	case *openid.DefaultSession:
		message, err := encodeOpenID(s)
		return &requestpb.Session{Kind: &requestpb.Session_OpenId{OpenId: message}}, err
	case *oauth2.JWTSession:
		message, err := encodeJWT(s)
		return &requestpb.Session{Kind: &requestpb.Session_Jwt{Jwt: message}}, err
	case *fosite.DefaultSession:
		extra, err := encodeObject(s.Extra)
		return &requestpb.Session{Kind: &requestpb.Session_Plain{Plain: &requestpb.PlainSession{
			ExpiresAt: encodeExpiry(s.ExpiresAt), Username: s.Username, Subject: s.Subject, Extra: extra,
		}}}, err
	}
	data, err := json.Marshal(session)
	if err != nil {
		return nil, fmt.Errorf("encode session of type %T: %w", session, err)
	}
	if string(data) == "null" {
		return nil, nil
	}
	return &requestpb.Session{Kind: &requestpb.Session_Json{Json: data}}, nil
}

func encodeOpenID(s *openid.DefaultSession) (*requestpb.OpenIDSession, error) {
	message := &requestpb.OpenIDSession{
		ExpiresAt: encodeExpiry(s.ExpiresAt), Username: s.Username, Subject: s.Subject,
	}
	if c := s.Claims; c != nil {
		extra, err := encodeObject(c.Extra)
		if err != nil {
			return nil, err
		}
		message.Claims = &requestpb.IDTokenClaims{
			Jti: c.JTI, Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience, Nonce: c.Nonce,
			ExpiresAt: encodeMoment(c.ExpiresAt), IssuedAt: encodeMoment(c.IssuedAt),
			RequestedAt: encodeMoment(c.RequestedAt), AuthTime: encodeMoment(c.AuthTime),
			AccessTokenHash: c.AccessTokenHash, Acr: c.AuthenticationContextClassReference,
			Amr: c.AuthenticationMethodsReferences, CodeHash: c.CodeHash, Extra: extra,
		}
	}
	headers, err := encodeHeaders(s.Headers)
	message.Headers = headers
	return message, err
}

func encodeJWT(s *oauth2.JWTSession) (*requestpb.JWTSession, error) {
	message := &requestpb.JWTSession{
		ExpiresAt: encodeExpiry(s.ExpiresAt), Username: s.Username, Subject: s.Subject,
	}
	if c := s.JWTClaims; c != nil {
		extra, err := encodeObject(c.Extra)
		if err != nil {
			return nil, err
		}
		message.Claims = &requestpb.JWTClaims{
			Subject: c.Subject, Issuer: c.Issuer, Audience: c.Audience, Jti: c.JTI,
			IssuedAt: encodeMoment(c.IssuedAt), NotBefore: encodeMoment(c.NotBefore),
			ExpiresAt: encodeMoment(c.ExpiresAt),
			Scope:     c.Scope, HasScope: c.Scope != nil, Extra: extra, ScopeField: int32(c.ScopeField),
		}
	}
	headers, err := encodeHeaders(s.JWTHeader)
	message.Headers = headers
	return message, err
}

func encodeHeaders(headers *jwt.Headers) (*requestpb.Headers, error) {
	if headers == nil {
		return nil, nil
	}
	extra, err := encodeObject(headers.Extra)
	return &requestpb.Headers{Extra: extra}, err
}

func encodeExpiry(expiry map[fosite.TokenType]time.Time) []*requestpb.Expiry {
	list := make([]*requestpb.Expiry, 0, len(expiry))
	for tokenType, at := range expiry {
		list = append(list, &requestpb.Expiry{TokenType: string(tokenType), At: encodeMoment(at)})
	}
	return list
}

func encodeMoment(t time.Time) *requestpb.Moment {
	if t.IsZero() {
		return nil
	}
	return &requestpb.Moment{Seconds: t.Unix(), Nanos: int32(t.Nanosecond())}
}
