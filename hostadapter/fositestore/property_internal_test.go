package fositestore

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/text/language"
)

// observed returns everything that fosite can read from a request by its methods, in comparable form: times
// in UTC, claims as the JSON of a token.
func observed(request fosite.Requester) map[string]any {
	session := request.GetSession()
	seen := map[string]any{
		"id": request.GetID(), "requested at": utc(request.GetRequestedAt()),
		"client":             request.GetClient().GetID(),
		"requested scopes":   list(request.GetRequestedScopes()),
		"granted scopes":     list(request.GetGrantedScopes()),
		"requested audience": list(request.GetRequestedAudience()),
		"granted audience":   list(request.GetGrantedAudience()),
		"form":               formOf(request.GetRequestForm()),
		"sanitized":          formOf(request.Sanitize([]string{"nonce", "max_age"}).GetRequestForm()),
	}
	if g11n, ok := request.(fosite.G11NContext); ok {
		seen["language"] = g11n.GetLang().String()
	}
	if authorize, ok := request.(fosite.AuthorizeRequester); ok {
		observeAuthorize(seen, authorize)
	}
	if isNil(session) {
		return seen
	}
	observeSession(seen, "session ", session)
	// A refresh continues with a clone.
	observeSession(seen, "clone ", session.Clone())
	return seen
}

func observeAuthorize(seen map[string]any, request fosite.AuthorizeRequester) {
	seen["response types"], seen["state"] = list(request.GetResponseTypes()), request.GetState()
	seen["response mode"], seen["default mode"] = request.GetResponseMode(), request.GetDefaultResponseMode()
	seen["redirect"], seen["redirect is nil"] = "", request.GetRedirectURI() == nil
	seen["redirect is valid"] = request.IsRedirectURIValid()
	seen["all handled"] = request.DidHandleAllResponseTypes()
	if uri := request.GetRedirectURI(); uri != nil {
		seen["redirect"] = []string{
			uri.String(), uri.Scheme, uri.Opaque, uri.Host, uri.Path, uri.RawQuery, uri.Fragment,
			uri.User.String(),
		}
	}
}

func observeSession(seen map[string]any, which string, session fosite.Session) {
	seen[which+"subject"], seen[which+"username"] = session.GetSubject(), session.GetUsername()
	for _, token := range []fosite.TokenType{
		fosite.AccessToken, fosite.RefreshToken, fosite.AuthorizeCode, fosite.IDToken, "own",
	} {
		seen[which+"expiry of "+string(token)] = utc(session.GetExpiresAt(token))
	}
	if s, ok := session.(openid.Session); ok {
		if claims := s.IDTokenClaims(); claims != nil {
			shown := *claims
			shown.JTI = cmp.Or(shown.JTI, "none") // otherwise fosite generates a new one each time
			seen[which+"ID token"] = inJSON(shown.ToMap())
			seen[which+"ID token times"] = []string{
				utc(claims.RequestedAt), utc(claims.AuthTime), utc(claims.IssuedAt), utc(claims.ExpiresAt),
			}
		}
		if headers := s.IDTokenHeaders(); headers != nil {
			seen[which+"ID token header"] = inJSON(headers.ToMap())
		}
	}
	if s, ok := session.(oauth2.JWTSessionContainer); ok {
		claims := *s.GetJWTClaims().(*jwt.JWTClaims)
		claims.JTI = cmp.Or(claims.JTI, "none")
		seen[which+"access token"] = inJSON(claims.ToMapClaims())
		seen[which+"scope is nil"], seen[which+"scope field"] = claims.Scope == nil, claims.ScopeField
		seen[which+"access token header"] = inJSON(s.GetJWTHeader().ToMap())
	}
	if s, ok := session.(fosite.ExtraClaimsSession); ok && seen[which+"access token"] == nil {
		seen[which+"introspection"] = inJSON(s.GetExtraClaims())
	}
	seen[which+"sid"] = SessionIDOf(session)
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func list(arguments fosite.Arguments) string { return fmt.Sprintf("%q", []string(arguments)) }

func formOf(form url.Values) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(form)) {
		fmt.Fprintf(&out, "%q=%q ", name, form[name])
	}
	return out.String()
}

func inJSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(data)
}

// oddRequest returns a request with unusual contents of a client or host, including types that JSON does not
// have.
func oddRequest(r *rand.Rand) *fosite.Request {
	request := randomRequest(r)
	zone := time.FixedZone("", r.IntN(2*14*3600)-14*3600)
	request.RequestedAt = time.Now().In(zone) // with a monotonic reading
	request.Lang = []language.Tag{
		language.Und, language.MustParse("zh-Hant-TW-u-co-pinyin"), language.MustParse("x-klingon"),
		language.MustParse("sr-Latn-RS"),
		language.MustParse("de-1996-u-nu-latn"), {},
	}[r.IntN(6)]
	switch r.IntN(4) {
	case 0:
		request.Form = nil
	case 1:
		request.Form = url.Values{
			"nonce": {"a", "b", ""}, "max_age": {}, "empty": nil, "\xff": {"\x00"},
			strings.Repeat("k", 3000): {strings.Repeat("v", 9000)},
		}
	}
	if r.IntN(4) == 0 {
		request.RequestedScope, request.GrantedScope = nil, fosite.Arguments{}
		request.RequestedAudience, request.GrantedAudience = fosite.Arguments{}, nil
	}
	request.GrantedAudience = append(request.GrantedAudience, "https://api.example/\xff?a=b#c", "urn:x:y", "")
	switch s := request.Session.(type) {
	case *openid.DefaultSession:
		s.SetExpiresAt("own", time.Date(2031, 1, 1, 0, 0, 0, 1, zone))
		if s.Claims != nil {
			s.Claims.AuthTime, s.Claims.Extra = time.Now().In(zone), oddObject(r, zone)
		}
	case *oauth2.JWTSession:
		if s.JWTClaims != nil {
			s.JWTClaims.ExpiresAt, s.JWTClaims.Extra = time.Now().In(zone), oddObject(r, zone)
		}
	case *fosite.DefaultSession:
		s.Extra = oddObject(r, zone)
	}
	return request
}

type address struct {
	Street string            `json:"street"`
	Tags   map[string]string `json:"tags,omitempty"`
	secret string
}

func oddObject(r *rand.Rand, zone *time.Location) map[string]any {
	values := map[string]any{
		"big": 1<<64 - 1 - r.Uint64N(1000), "int64": -1<<63 + r.Int64N(1000), "float32": r.Float32(),
		"int8":   int8(r.Int()),
		"number": json.Number("1.50"), "huge": json.Number("123456789012345678901234567890"),
		"bytes": []byte{0xff, 0, byte(r.Int())},
		"ints":  []int{1, 1 << 60}, "map": map[string]string{"a": "b"},
		"ids": map[string]uint64{"id": 1<<63 + 1}, "struct": address{Street: "s", secret: "x"},
		"pointer": &address{Tags: map[string]string{"k": "v"}}, "nil pointer": (*address)(nil),
		"raw":       json.RawMessage(`{"x":1e400}`),
		"nil texts": []string(nil), "nil list": []any(nil), "nil map": map[string]any(nil),
		"no texts": []string{}, "no list": []any{}, "no map": map[string]any{},
		"time": time.Date(2030, 2, 3, 4, 5, 6, 7, zone), "duration": time.Minute, "text": "\xff",
		"zero time": time.Time{},
		"deep":      []any{map[string]any{"a": []any{nil, true, uint64(1 << 63)}}},
		"maps":      []map[string]any{{"n": int64(1) << 62}},
		"\xff":      1, "": "empty name", "bool": false, "nil": nil, "sid": "s1",
	}
	for name := range values {
		if r.IntN(2) == 0 {
			delete(values, name)
		}
	}
	return values
}

// fosite reads the same from a request after it was stored, whatever its contents.
func TestStoredRequestsReadTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		want := oddRequest(r)
		before := observed(want)
		data, err := encodeRequest(want, encoding{})
		if err != nil {
			t.Fatalf("seed %d: encoding: %v", seed, err)
		}
		message, err := parse(data)
		if err != nil {
			t.Fatalf("seed %d: decoding: %v", seed, err)
		}
		session := newSameType(want.Session)
		if r.IntN(2) == 0 {
			// Hosts may pass non-empty sessions.
			if s, ok := session.(*openid.DefaultSession); ok {
				*s = *randomOpenID(r)
				s.ExpiresAt = nil
			}
		}
		if err := hydrate(session, message.session()); err != nil {
			t.Fatalf("seed %d: session: %v", seed, err)
		}
		got, err := decodeRequest(message, decodeLang(message.text(langField)), want.Client, session)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := gocmp.Diff(before, observed(got)); diff != "" {
			t.Fatalf("seed %d: fosite reads different contents (-before +after):\n%s", seed, diff)
		}
	}
}

// The same for pushed authorization requests, except for their session and the client's credentials.
func TestStoredPushedRequestsReadTheSame(t *testing.T) {
	t.Parallel()
	targets := []string{
		"", "https://app.example/cb?x=1&x=2", "https://app.example/a%2Fb/%C3%A4?q", "http://[::1]:8080/cb",
		"com.example.app:/cb", "app:opaque", "https://u:p@h/",
		"https://app.example?", "//host/path", "https://app.example/\xc3\xa4",
	}
	pick := func(r *rand.Rand, from ...string) (some fosite.Arguments) {
		for _, one := range from {
			if r.IntN(2) == 0 {
				some = append(some, one)
			}
		}
		return some
	}
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 3))
		want := &fosite.AuthorizeRequest{
			Request: *oddRequest(r), ResponseTypes: pick(r, "code", "id_token", "token"),
			HandledResponseTypes: pick(r, "code", "id_token", "token"),
			State:                randomText(r),
			ResponseMode:         fosite.ResponseModeType(randomText(r)),
			DefaultResponseMode:  fosite.ResponseModeFragment,
		}
		if target := targets[r.IntN(len(targets))]; target != "" {
			uri, err := url.Parse(target)
			if err != nil {
				t.Fatal(err)
			}
			want.RedirectURI = uri
		}
		want.Form = url.Values{
			"nonce": {"n"}, "client_secret": {"s"}, "client_assertion": {"a"}, "client_assertion_type": {"t"},
			"\xff": {"\xfe", ""},
		}
		data, err := encodeRequest(want, encoding{withoutSession: true, dropFormFields: credentialFields})
		if err != nil {
			t.Fatalf("seed %d: encoding: %v", seed, err)
		}
		for _, name := range credentialFields {
			want.Form.Del(name)
		}
		want.Session = nil
		message, err := parse(data)
		if err != nil {
			t.Fatalf("seed %d: decoding: %v", seed, err)
		}
		got, err := decodeAuthorizeRequest(message, decodeLang(message.text(langField)), want.Client)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := gocmp.Diff(observed(want), observed(got)); diff != "" {
			t.Fatalf("seed %d: fosite reads different contents (-before +after):\n%s", seed, diff)
		}
	}
}

// A claim that cannot be encoded is an error that names it, and is not dropped.
func TestUnstorableClaims(t *testing.T) {
	t.Parallel()
	session := openid.NewDefaultSession()
	session.Claims.Extra = map[string]any{"callback": func() {}}
	request := fosite.NewRequest()
	request.Session = session
	if _, err := encodeRequest(request, encoding{}); err == nil ||
		!strings.Contains(err.Error(), `"callback"`) {
		t.Errorf("got %v, want an error that names the claim", err)
	}
}
