package fositestore

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FuzzDecode: any plaintext of a grant's data is refused, or decodes to a request that is unchanged after
// another encoding and decoding.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(12) {
		request := randomRequest(mathrand.New(mathrand.NewPCG(seed, 1)))
		data, err := encodeRequest(request, encoding{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Add([]byte{})
	f.Add([]byte{dataVersion})
	f.Add([]byte{dataVersion + 1, 0})
	client := &fosite.DefaultClient{ID: "client"}
	f.Fuzz(func(t *testing.T, data []byte) {
		message, err := parse(data)
		if err != nil {
			if !errors.Is(err, errData) {
				t.Fatalf("got %v, want errData", err)
			}
			return
		}
		for _, empty := range []func() fosite.Session{
			func() fosite.Session {
				return &openid.DefaultSession{}
			}, func() fosite.Session { return &oauth2.JWTSession{} },
			func() fosite.Session { return &fosite.DefaultSession{} },
			func() fosite.Session { return &tenantSession{DefaultSession: &openid.DefaultSession{}} },
		} {
			session := empty()
			if hydrate(session, message.session()) != nil {
				continue
			}
			request, err := decodeRequest(message, decodeLang(message.text(langField)), client, session)
			if err != nil {
				if !errors.Is(err, errData) {
					t.Fatalf("got %v, want errData", err)
				}
				continue
			}
			expectSameAgain(t, request, empty)
		}
		request, err := decodeAuthorizeRequest(message, decodeLang(message.text(langField)), client)
		if err != nil && !errors.Is(err, errData) {
			t.Fatalf("as a pushed request: got %v, want errData", err)
		} else if err == nil && request.Session != nil {
			t.Fatal("a pushed request has a session")
		}
	})
}

// expectSameAgain encodes a decoded request and decodes it again. Contents dropped by the first decoding stay
// dropped.
func expectSameAgain(t *testing.T, request *fosite.Request, empty func() fosite.Session) {
	t.Helper()
	again, err := encodeRequest(request, encoding{})
	if err != nil {
		return // a host's JSON may hold values that cannot be encoded
	}
	message, err := parse(again)
	if err != nil {
		t.Fatalf("a decoded request cannot be encoded: %v", err)
	}
	session := empty()
	if err := hydrate(session, message.session()); err != nil {
		t.Fatalf("an encoded request cannot be decoded: %v", err)
	}
	lang := decodeLang(message.text(langField))
	reread, err := decodeRequest(message, lang, request.Client, session)
	if err != nil {
		t.Fatalf("an encoded request cannot be decoded: %v", err)
	}
	third, err := encodeRequest(reread, encoding{})
	if err != nil {
		t.Fatalf("the request cannot be encoded again: %v", err)
	}
	if len(third) != len(again) {
		t.Fatalf("a request changes with each encoding:\n%s", cmp.Diff(again, third))
	}
}

// FuzzIDTokenHint: a text is accepted only if it is an ID token of this server with a subject and a client.
func FuzzIDTokenHint(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	keys := &signingKeys{get: func(context.Context) (any, error) { return key, nil }}
	hints := &idTokenHints{keys: keys, clients: knownClients(), issuers: []string{"https://op.example"}}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, claims := range []string{
		`{"iss":"https://op.example","sub":"ann","sid":"s","aud":"app"}`,
		`{"iss":"https://op.example","sub":"ann","aud":["b","app"],"azp":"app"}`,
		`{"iss":"https://op.example","sub":"ann","aud":[]}`,
		`{"iss":"https://op.example","sub":"","aud":"app"}`, `{"iss":"https://other.example"}`,
		`{"iss":"https://op.example","sub":7,"aud":{}}`, `{"aud":null}`,
		`{"iss":"https://op.example","sub":"a","aud":"app","events":{"http://schemas.openid.net/event/` +
			`backchannel-logout":{}}}`,
		`{"iss":"https://op.example","sub":"a","aud":"app","scp":[]}`,
		`{"iss":"https://op.example","sub":"a","aud":"app","client_id":null}`,
		`{"iss":"https://op.example","sub":"a","aud":"other","azp":"c"}`, `null`, `[]`, ``,
		`{"iss":"https://op.example","sub":"a","aud":[null]}`,
	} {
		f.Add(true, claims)
	}
	for _, token := range []string{
		"", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.e30.AA", "....",
		strings.Repeat("A", 20000), `{"payload":"e30"}`,
	} {
		f.Add(false, token)
	}
	f.Fuzz(func(t *testing.T, sign bool, text string) {
		token := text
		if sign {
			signed, err := signer.Sign([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if token, err = signed.CompactSerialize(); err != nil {
				t.Fatal(err)
			}
		}
		hint, err := hints.Verify(t.Context(), token)
		switch {
		case err == nil && !sign:
			t.Fatalf("%q is accepted as an ID token", token)
		case err == nil &&
			(hint.Subject == "" || !slices.Contains(hint.Audience, "app") &&
				!slices.Contains(hint.Audience, "other")):
			t.Fatalf("%q is accepted as an ID token with %+v", text, hint)
		case errors.Is(err, ticketstore.ErrUnavailable):
			t.Fatalf("an invalid hint is reported as a server error: %v", err)
		case sign && errors.Is(err, hostadapter.ErrHintUnverified):
			t.Fatal("our own signature does not verify")
		}
	})
}
