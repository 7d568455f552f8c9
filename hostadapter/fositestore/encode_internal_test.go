package fositestore

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/text/language"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// tenantSession is a custom session type.
type tenantSession struct {
	*openid.DefaultSession
	Tenant string `json:"tenant"`
}

func (s *tenantSession) Clone() fosite.Session {
	inner, _ := s.DefaultSession.Clone().(*openid.DefaultSession)
	return &tenantSession{DefaultSession: inner, Tenant: s.Tenant}
}

// randomRequest returns a request with random contents, of any kind that a host may use.
func randomRequest(r *rand.Rand) *fosite.Request {
	return &fosite.Request{
		ID: randomText(r), RequestedAt: randomTime(r), Client: &fosite.DefaultClient{ID: "client"},
		RequestedScope: randomTexts(r), GrantedScope: randomTexts(r), RequestedAudience: randomTexts(r),
		GrantedAudience: randomTexts(r),
		Form: url.Values{
			"scope": randomTexts(r), "": {""}, "bytes": {"\xff\xfe", randomText(r)}, randomText(r): nil,
		},
		Session: randomSession(r),
		Lang:    []language.Tag{language.Und, language.German, language.MustParse("en-GB")}[r.IntN(3)],
	}
}

func randomSession(r *rand.Rand) fosite.Session {
	switch r.IntN(4) {
	case 0:
		return randomOpenID(r)
	case 1:
		s := &oauth2.JWTSession{ExpiresAt: randomExpiry(r), Username: randomText(r), Subject: randomText(r)}
		if r.IntN(4) > 0 {
			s.JWTClaims = &jwt.JWTClaims{
				Subject: randomText(r), Issuer: randomText(r), Audience: randomTexts(r), JTI: randomText(r),
				IssuedAt:  randomTime(r),
				NotBefore: randomTime(r), ExpiresAt: randomTime(r),
				Scope: [][]string{nil, {}, {"a", "b"}}[r.IntN(3)],
				Extra: randomObject(r, 2), ScopeField: jwt.JWTScopeFieldEnum(r.IntN(4)),
			}
			s.JWTHeader = &jwt.Headers{Extra: randomObject(r, 2)}
		}
		return s
	case 2:
		return &fosite.DefaultSession{
			ExpiresAt: randomExpiry(r), Username: randomText(r), Subject: randomText(r),
			Extra: randomObject(r, 2),
		}
	}
	// JSON has fewer number types than Go, and only UTF-8 text.
	inner := &openid.DefaultSession{}
	if raw, err := json.Marshal(randomOpenID(r)); err != nil || json.Unmarshal(raw, inner) != nil {
		panic("a session that is not JSON")
	}
	inner.Headers = &jwt.Headers{Extra: map[string]any{"kid": "k"}}
	if inner.Claims != nil {
		inner.Claims.Extra = map[string]any{"a": "b", "n": 1.5, "l": []any{"x"}}
	}
	return &tenantSession{DefaultSession: inner, Tenant: strings.ToValidUTF8(randomText(r), "")}
}

func randomOpenID(r *rand.Rand) *openid.DefaultSession {
	s := &openid.DefaultSession{ExpiresAt: randomExpiry(r), Username: randomText(r), Subject: randomText(r)}
	if r.IntN(4) > 0 {
		s.Claims = &jwt.IDTokenClaims{
			JTI: randomText(r), Issuer: randomText(r), Subject: randomText(r), Audience: randomTexts(r),
			Nonce:     randomText(r),
			ExpiresAt: randomTime(r), IssuedAt: randomTime(r), RequestedAt: randomTime(r),
			AuthTime:        randomTime(r),
			AccessTokenHash: randomText(r), AuthenticationContextClassReference: randomText(r),
			AuthenticationMethodsReferences: randomTexts(r), CodeHash: randomText(r),
			Extra: randomObject(r, 2),
		}
		s.Headers = &jwt.Headers{Extra: randomObject(r, 2)}
	}
	return s
}

func randomExpiry(r *rand.Rand) map[fosite.TokenType]time.Time {
	if r.IntN(4) == 0 {
		return nil
	}
	return map[fosite.TokenType]time.Time{
		fosite.AccessToken: randomTime(r), fosite.RefreshToken: randomTime(r),
		fosite.TokenType(randomText(r)): randomTime(r),
	}
}

func randomText(r *rand.Rand) string {
	return []string{
		"", "a", "Ä\"\\\n", "ory_at_x.y", fmt.Sprint(r.Uint64()), "\xff\xfe", "\x00", "\u202etxt",
	}[r.IntN(8)]
}

func randomTexts(r *rand.Rand) []string {
	var list []string
	for range r.IntN(3) {
		list = append(list, randomText(r))
	}
	return list
}

func randomTime(r *rand.Rand) time.Time {
	switch r.IntN(4) {
	case 0:
		return time.Time{}
	case 1:
		return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	case 2:
		return time.Date(1969, 1, 1, 0, 0, 0, 1, time.UTC)
	}
	return time.Unix(r.Int64N(1<<33), r.Int64N(1e9)).UTC()
}

func randomObject(r *rand.Rand, depth int) map[string]any {
	if r.IntN(4) == 0 {
		return nil
	}
	object := map[string]any{}
	for range r.IntN(5) {
		object[randomText(r)] = randomValue(r, depth)
	}
	return object
}

func randomValue(r *rand.Rand, depth int) any {
	kinds := 9
	if depth == 0 {
		kinds = 7
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return randomText(r)
	case 3:
		return r.Int()
	case 4:
		return int64(r.Uint64())
	case 5:
		return r.NormFloat64()
	case 6:
		return append([]string{}, randomTexts(r)...)
	case 7:
		return []any{randomValue(r, depth-1), randomTime(r)}
	}
	return map[string]any{"in": randomValue(r, depth-1)}
}

// encodeRequest returns the plaintext of a grant's data.
func encodeRequest(request fosite.Requester, what encoding) ([]byte, error) {
	w := &writer{}
	w.stored(request, what)
	return w.data, w.err
}

func TestRequestsRoundTrip(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		want := randomRequest(r)
		data, err := encodeRequest(want, encoding{})
		if err != nil {
			t.Fatalf("seed %d: encoding: %v", seed, err)
		}
		isRequest(t, data)
		message, err := parse(data)
		if err != nil {
			t.Fatalf("seed %d: decoding: %v", seed, err)
		}
		session := newSameType(want.Session)
		if err := hydrate(session, message.session()); err != nil {
			t.Fatalf("seed %d: session: %v", seed, err)
		}
		got, err := decodeRequest(message, decodeLang(message.text(langField)), want.Client, session)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b language.Tag) bool {
			return a == b
		})); diff != "" {
			t.Fatalf("seed %d: want the request unchanged (-want +got):\n%s", seed, diff)
		}
	}
}

// requestType is the schema of requests (request.proto).
var requestType = sync.OnceValues(func() (protoreflect.MessageDescriptor, error) {
	raw, err := os.ReadFile("internal/requestpb/request.binpb")
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		return nil, err
	}
	file, err := protodesc.NewFile(set.GetFile()[0], nil)
	if err != nil {
		return nil, err
	}
	return file.Messages().ByName("Request"), nil
})

// isRequest checks that the data is a Request of request.proto, which other releases can read.
func isRequest(t *testing.T, data []byte) {
	t.Helper()
	schema, err := requestType()
	if err != nil {
		t.Fatal(err)
	}
	message := dynamicpb.NewMessage(schema)
	if err := proto.Unmarshal(data[1:], message); err != nil {
		t.Fatal(err)
	}
	known := proto.CloneOf(message)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data[1:], known); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(message, known) || proto.Size(message) != len(data)-1 {
		t.Errorf("want only fields of the schema, each written once: %v", message)
	}
}

func TestPushedRequestsRoundTrip(t *testing.T) {
	t.Parallel()
	redirect, _ := url.Parse("https://app.example/cb?x=1")
	want := &fosite.AuthorizeRequest{
		ResponseTypes: fosite.Arguments{"code", "id_token"}, RedirectURI: redirect, State: "st\xffate",
		HandledResponseTypes: fosite.Arguments{"code"}, ResponseMode: fosite.ResponseModeFormPost,
		DefaultResponseMode: fosite.ResponseModeQuery,
		Request: fosite.Request{
			ID: "id", RequestedAt: time.Unix(1, 2).UTC(), Client: &fosite.DefaultClient{ID: "client"},
			RequestedScope: fosite.Arguments{"openid"},
			Form:           url.Values{"nonce": {"n"}, "client_secret": {"s"}, "client_assertion": {"a"}},
			Session:        openid.NewDefaultSession(),
		},
	}
	data, err := encodeRequest(want, encoding{withoutSession: true, dropFormFields: credentialFields})
	if err != nil {
		t.Fatal(err)
	}
	isRequest(t, data)
	message, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeAuthorizeRequest(message, decodeLang(message.text(langField)), want.Client)
	if err != nil {
		t.Fatal(err)
	}
	want.Session, want.Form = nil, url.Values{"nonce": {"n"}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b language.Tag) bool {
		return a == b
	})); diff != "" {
		t.Errorf("want the request without session and credentials (-want +got):\n%s", diff)
	}
}

// sealed returns a session as encoded in the data of a grant.
func sealed(t *testing.T, session fosite.Session) storedSession {
	t.Helper()
	data, err := encodeRequest(&fosite.Request{Session: session}, encoding{})
	if err != nil {
		t.Fatal(err)
	}
	request, err := parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return request.session()
}

// A host may change from fosite's session type to a custom type, and back, without losing tokens.
func TestSessionsOfAnotherType(t *testing.T) {
	t.Parallel()
	stored := openid.NewDefaultSession()
	stored.Subject, stored.Claims.Subject = "ann", "ann"
	stored.Claims.Add("sid", "s1")
	for _, from := range []fosite.Session{stored, &tenantSession{DefaultSession: stored, Tenant: "t"}} {
		message := sealed(t, from)
		for _, to := range []fosite.Session{&openid.DefaultSession{}, &tenantSession{}} {
			if err := hydrate(to, message); err != nil {
				t.Fatalf("%T to %T: %v", from, to, err)
			}
			if to.GetSubject() != "ann" || SessionIDOf(to) != "s1" {
				t.Errorf("%T to %T: want subject and sid, got %q and %q", from, to, to.GetSubject(),
					SessionIDOf(to))
			}
		}
	}
}

// fosite sets the expiries of the new tokens before it reads the code again.
func TestHydrateKeepsExpiriesThatWereNotStored(t *testing.T) {
	t.Parallel()
	stored, at := openid.NewDefaultSession(), time.Unix(1000, 0).UTC()
	stored.SetExpiresAt(fosite.AuthorizeCode, at)
	given := openid.NewDefaultSession()
	claims := given.Claims
	given.SetExpiresAt(fosite.AccessToken, at)
	if err := hydrate(given, sealed(t, stored)); err != nil {
		t.Fatal(err)
	}
	want := map[fosite.TokenType]time.Time{fosite.AuthorizeCode: at, fosite.AccessToken: at}
	if !reflect.DeepEqual(given.ExpiresAt, want) || given.Claims != claims {
		t.Errorf("want both expiries and the same pointer to the claims, got %v", given.ExpiresAt)
	}
}

func TestUnknownFormatIsAnError(t *testing.T) {
	t.Parallel()
	for _, data := range [][]byte{nil, {}, {dataVersion + 1, 1}, {dataVersion, 0xff}} {
		if message, err := parse(data); err == nil {
			t.Errorf("%v: want an error, got %v", data, message)
		}
	}
}

// A later release may add fields next to the kind of a session.
func TestSessionWithAFieldOfALaterRelease(t *testing.T) {
	t.Parallel()
	var r reader
	message := protowire.AppendString(protowire.AppendTag(nil, openIDKind, protowire.BytesType), "openid")
	message = protowire.AppendString(protowire.AppendTag(message, jsonKind+1, protowire.BytesType), "new")
	message = protowire.AppendVarint(protowire.AppendTag(message, jwtKind, protowire.VarintType), 1)
	if got := r.session(string(message)); got != (storedSession{openIDKind, "openid"}) {
		t.Errorf("got %+v, want the encoded session", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	request := benchmarked()
	for b.Loop() {
		w := newWriter()
		w.stored(request, encoding{})
		w.release()
	}
}

func benchmarked() *fosite.Request {
	session := openid.NewDefaultSession()
	session.Subject, session.Claims.Subject, session.Claims.AuthTime = "ann", "ann", time.Now()
	session.Claims.Add("sid", "s1")
	session.SetExpiresAt(fosite.AccessToken, time.Now())
	request := fosite.NewRequest()
	request.ID = "id"
	request.GrantedScope = fosite.Arguments{"openid", "offline_access"}
	request.Session = session
	return request
}

func BenchmarkDecode(b *testing.B) {
	data, err := encodeRequest(benchmarked(), encoding{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		message, err := parse(data)
		if err != nil {
			b.Fatal(err)
		}
		if err := hydrate(&openid.DefaultSession{}, message.session()); err != nil {
			b.Fatal(err)
		}
	}
}
