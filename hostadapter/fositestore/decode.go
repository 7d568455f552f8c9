package fositestore

// Requests as they are read from a grant's data.

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/text/language"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore/internal/requestpb"
)

var errData = errors.New("grant data is in a format that this build does not know")

// decodeMessage takes apart what encodeRequest made.
func decodeMessage(data []byte) (*requestpb.Request, error) {
	if len(data) == 0 || data[0] != dataVersion {
		return nil, errData
	}
	message := &requestpb.Request{}
	if err := proto.Unmarshal(data[1:], message); err != nil {
		return nil, fmt.Errorf("%w: %w", errData, err)
	}
	return message, nil
}

// rowSize is what a row takes besides its message, together with what refers to it, in bytes.
const rowSize = 144 + 16

// sizeOf is about what a message takes in memory, in bytes.
func sizeOf(message protoreflect.Message) int {
	size := piece(int(reflect.TypeOf(message.Interface()).Elem().Size()))
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !field.IsList() {
			_, content := sizesOf(field, value)
			if size += content; field.ContainingOneof() != nil {
				size += piece(24) // the object that holds the value
			}
			return true
		}
		list, room := value.List(), 1
		for room < list.Len() { // it was appended to one by one
			room *= 2
		}
		for i := range list.Len() {
			place, content := sizesOf(field, list.Get(i))
			if size += content; i == 0 {
				size += piece(room * place)
			}
		}
		return true
	})
	return size
}

// sizesOf is what a value of a field takes in its place in a list, and what it takes besides, in bytes.
func sizesOf(field protoreflect.FieldDescriptor, value protoreflect.Value) (place, content int) {
	switch field.Kind() {
	case protoreflect.MessageKind:
		return 8, sizeOf(value.Message())
	case protoreflect.StringKind:
		return 16, piece(len(value.String()))
	case protoreflect.BytesKind:
		return 24, piece(len(value.Bytes()))
	}
	return 8, 0
}

// piece is what memory of a size is given out as, in bytes: steps of 16 at first, later of up to an eighth.
func piece(size int) int {
	if size > 256 {
		size += size / 8
	}
	return (size + 15) &^ 15
}

// decodeRequest returns the stored request with the given client and session, the session as it is.
func decodeRequest(
	message *requestpb.Request, lang language.Tag, client fosite.Client, session fosite.Session,
) *fosite.Request {
	list := listsOf(len(message.GetRequestedScopes()) + len(message.GetGrantedScopes()) +
		len(message.GetRequestedAudience()) + len(message.GetGrantedAudience()))
	return &fosite.Request{
		ID:                message.GetId(),
		RequestedAt:       decodeMoment(message.GetRequestedAt()),
		Client:            client,
		RequestedScope:    list.copy(message.GetRequestedScopes()),
		GrantedScope:      list.copy(message.GetGrantedScopes()),
		RequestedAudience: list.copy(message.GetRequestedAudience()),
		GrantedAudience:   list.copy(message.GetGrantedAudience()),
		Form:              decodeForm(message.GetForm()),
		Session:           session,
		Lang:              lang,
	}
}

// decodeAuthorizeRequest returns a stored pushed request, which has no session.
func decodeAuthorizeRequest(
	message *requestpb.Request, lang language.Tag, client fosite.Client,
) (*fosite.AuthorizeRequest, error) {
	authorize := message.GetAuthorize()
	list := listsOf(len(authorize.GetResponseTypes()) + len(authorize.GetHandledResponseTypes()))
	request := &fosite.AuthorizeRequest{
		ResponseTypes:        list.copy(authorize.GetResponseTypes()),
		State:                authorize.GetState(),
		HandledResponseTypes: list.copy(authorize.GetHandledResponseTypes()),
		ResponseMode:         fosite.ResponseModeType(authorize.GetResponseMode()),
		DefaultResponseMode:  fosite.ResponseModeType(authorize.GetDefaultResponseMode()),
		Request:              *decodeRequest(message, lang, client, nil),
	}
	// fosite uses nil for a request without redirect URI.
	if raw := authorize.GetRedirectUri(); raw != "" {
		uri, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: redirect URI: %w", errData, err)
		}
		request.RedirectURI = uri
	}
	return request, nil
}

// lists is room for copies of short lists, which costs one allocation.
type lists []string

func listsOf(texts int) lists { return make(lists, 0, texts) }

// copy returns a list of the request's own, never nil. One that is appended to moves away from the others.
func (l *lists) copy(list []string) []string {
	from := len(*l)
	*l = append(*l, list...)
	return slices.Clip((*l)[from:])
}

func decodeForm(fields []*requestpb.Field) url.Values {
	texts := 0
	for _, field := range fields {
		texts += len(field.GetValues())
	}
	form, list := make(url.Values, len(fields)), listsOf(texts)
	for _, field := range fields {
		form[field.GetName()] = list.copy(field.GetValues())
	}
	return form
}

func decodeLang(lang string) language.Tag {
	switch lang {
	case "":
		return language.Und
	case "en": // fosite's, without a catalogue of messages
		return language.English
	}
	return language.Make(lang)
}

// hydrate fills the session that fosite passes with what was stored. What was stored replaces what the
// session held, but for expiries that were not stored: fosite sets those of the new tokens before it reads a
// code again.
func hydrate(session fosite.Session, stored *requestpb.Session) error {
	switch kind := stored.GetKind().(type) {
	case nil:
		return nil
	case *requestpb.Session_Json:
		return hydrateJSON(session, kind.Json)
	case *requestpb.Session_OpenId:
		return hydrateAs(session, kind.OpenId, hydrateOpenID)
	case *requestpb.Session_Jwt:
		return hydrateAs(session, kind.Jwt, hydrateJWT)
	case *requestpb.Session_Plain:
		return hydrateAs(session, kind.Plain, hydratePlain)
	}
	return errData
}

// newOfKind returns an empty session of the type that was stored, or nil for one of the host's own and for
// none.
func newOfKind(stored *requestpb.Session) fosite.Session {
	switch stored.GetKind().(type) {
	case *requestpb.Session_OpenId:
		return &openid.DefaultSession{}
	case *requestpb.Session_Jwt:
		return &oauth2.JWTSession{}
	case *requestpb.Session_Plain:
		return &fosite.DefaultSession{}
	}
	return nil
}

// hydrateAs fills a session of type *S directly, and one of another type by way of JSON, in which the types
// name the expiries differently.
func hydrateAs[S any, M interface{ GetExpiresAt() []*requestpb.Expiry }](
	session fosite.Session, message M, fill func(*S, M),
) error {
	if s, ok := any(session).(*S); ok {
		fill(s, message)
		return nil
	}
	var s S
	fill(&s, message)
	data, err := json.Marshal(&s)
	if err != nil {
		return fmt.Errorf("convert stored session: %w", err)
	}
	if err := hydrateJSON(session, data); err != nil {
		return err
	}
	for _, entry := range message.GetExpiresAt() {
		if t := entry.GetTokenType(); utf8.ValidString(t) { // as JSON keeps it
			session.SetExpiresAt(fosite.TokenType(t), decodeMoment(entry.GetAt()))
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

func hydrateOpenID(s *openid.DefaultSession, message *requestpb.OpenIDSession) {
	s.ExpiresAt = decodeExpiry(s.ExpiresAt, message.GetExpiresAt())
	s.Username, s.Subject = message.GetUsername(), message.GetSubject()
	s.Headers = decodeHeaders(s.Headers, message.GetHeaders())
	c := message.GetClaims()
	if c == nil {
		s.Claims = nil
		return
	}
	// Handlers hold on to the pointer (openid.Session).
	if s.Claims == nil {
		s.Claims = &jwt.IDTokenClaims{}
	}
	*s.Claims = jwt.IDTokenClaims{
		JTI: c.GetJti(), Issuer: c.GetIssuer(), Subject: c.GetSubject(), Nonce: c.GetNonce(),
		Audience:  slices.Clone(c.GetAudience()),
		ExpiresAt: decodeMoment(c.GetExpiresAt()), IssuedAt: decodeMoment(c.GetIssuedAt()),
		RequestedAt: decodeMoment(c.GetRequestedAt()), AuthTime: decodeMoment(c.GetAuthTime()),
		AccessTokenHash: c.GetAccessTokenHash(), AuthenticationContextClassReference: c.GetAcr(),
		AuthenticationMethodsReferences: slices.Clone(c.GetAmr()), CodeHash: c.GetCodeHash(),
		Extra: decodeObject(c.GetExtra()),
	}
}

func hydrateJWT(s *oauth2.JWTSession, message *requestpb.JWTSession) {
	s.ExpiresAt = decodeExpiry(s.ExpiresAt, message.GetExpiresAt())
	s.Username, s.Subject = message.GetUsername(), message.GetSubject()
	s.JWTHeader = decodeHeaders(s.JWTHeader, message.GetHeaders())
	c := message.GetClaims()
	if c == nil {
		s.JWTClaims = nil
		return
	}
	if s.JWTClaims == nil {
		s.JWTClaims = &jwt.JWTClaims{}
	}
	*s.JWTClaims = jwt.JWTClaims{
		Subject: c.GetSubject(), Issuer: c.GetIssuer(), JTI: c.GetJti(),
		Audience: slices.Clone(c.GetAudience()),
		IssuedAt: decodeMoment(c.GetIssuedAt()), NotBefore: decodeMoment(c.GetNotBefore()),
		ExpiresAt: decodeMoment(c.GetExpiresAt()),
		Scope:     slices.Clone(c.GetScope()), Extra: decodeObject(c.GetExtra()),
		ScopeField: jwt.JWTScopeFieldEnum(c.GetScopeField()),
	}
	if c.GetHasScope() && s.JWTClaims.Scope == nil {
		s.JWTClaims.Scope = []string{}
	}
}

func hydratePlain(s *fosite.DefaultSession, message *requestpb.PlainSession) {
	s.ExpiresAt = decodeExpiry(s.ExpiresAt, message.GetExpiresAt())
	s.Username = message.GetUsername()
	s.Subject = message.GetSubject()
	s.Extra = decodeObject(message.GetExtra())
}

func decodeHeaders(headers *jwt.Headers, message *requestpb.Headers) *jwt.Headers {
	if message == nil {
		return nil
	}
	if headers == nil {
		headers = &jwt.Headers{}
	}
	headers.Extra = decodeObject(message.GetExtra())
	return headers
}

func decodeExpiry(
	expiry map[fosite.TokenType]time.Time, list []*requestpb.Expiry,
) map[fosite.TokenType]time.Time {
	if expiry == nil && len(list) > 0 {
		expiry = make(map[fosite.TokenType]time.Time, len(list)+1)
	}
	for _, entry := range list {
		expiry[fosite.TokenType(entry.GetTokenType())] = decodeMoment(entry.GetAt())
	}
	return expiry
}

func decodeMoment(m *requestpb.Moment) time.Time {
	if m == nil {
		return time.Time{}
	}
	return time.Unix(m.GetSeconds(), int64(m.GetNanos())).UTC()
}
