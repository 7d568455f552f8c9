package fositestore

// What is kept of a grant in a cache.

import (
	"fmt"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore/internal/requestpb"
)

// An ordinary request is decoded once, not at each hit. One with large claims would take more memory than a
// cache counts: of that its data is kept. Not parallel: it measures the heap.
func TestOrdinaryRequestsAreKeptDecoded(t *testing.T) { //nolint:paralleltest // it measures the heap
	groups := make([]any, 500)
	for i := range groups {
		groups[i] = fmt.Sprint("group", i)
	}
	for name, c := range map[string]struct {
		extra   map[string]any
		decoded bool
	}{
		"ordinary claims": {map[string]any{"sid": "7d1f0e7a3b4c1d9e2f8d7f1f0e7a3b4c"}, true},
		"500 groups":      {map[string]any{"groups": groups}, false},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := encodeRequest(requestWith(c.extra), encoding{})
			if err != nil {
				t.Fatal(err)
			}
			message, err := decodeMessage(data)
			if err != nil {
				t.Fatal(err)
			}
			kept := (&row{message: message, data: data}).toKeep()
			counted, taken := sizeOf(message.ProtoReflect()), heapOf(t, data)
			if decoded := kept.message != nil; decoded != c.decoded || decoded == (kept.data != nil) {
				t.Errorf("%d bytes of data, %d decoded: kept decoded %t, want %t", len(data), counted,
					decoded, c.decoded)
			}
			if counted < taken || counted > taken*5/4 {
				t.Errorf("decoded it takes %d bytes, counted %d, want as much to a quarter more", taken,
					counted)
			}
		})
	}
}

// requestWith is a request with an ordinary OpenID session, and claims of the host's own.
func requestWith(extra map[string]any) *fosite.Request {
	now := time.Unix(1_900_000_000, 0)
	request := fosite.NewRequest()
	request.ID, request.RequestedAt = "8d7f1f0e-7a3b-4c1d-9e2f-000000000001", now
	request.Client = &fosite.DefaultClient{ID: "photo-printing"}
	request.RequestedScope = fosite.Arguments{"openid", "offline_access", "profile", "photos"}
	request.GrantedScope = request.RequestedScope
	request.Form = url.Values{"grant_type": {"authorization_code"}, "client_id": {"photo-printing"}}
	request.Session = &openid.DefaultSession{
		Subject: "user-1001", Username: "ann",
		Claims: &jwt.IDTokenClaims{
			Issuer: "https://op.example", Subject: "user-1001", Audience: []string{"photo-printing"},
			Nonce: "n-0S6_WzA2Mj-n-0S6_WzA2Mj", AuthTime: now, RequestedAt: now, IssuedAt: now,
			ExpiresAt: now.Add(time.Hour), AuthenticationMethodsReferences: []string{"pwd", "otp"},
			Extra: extra,
		},
		Headers: &jwt.Headers{Extra: map[string]any{"kid": "key-1"}},
		ExpiresAt: map[fosite.TokenType]time.Time{
			fosite.AccessToken: now, fosite.RefreshToken: now, fosite.AuthorizeCode: now,
		},
	}
	return request
}

// heapOf is what decoded data takes, in bytes.
func heapOf(t *testing.T, data []byte) int {
	t.Helper()
	heap := func() int {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	messages := make([]*requestpb.Request, 2000)
	before := heap()
	for i := range messages {
		message, err := decodeMessage(data)
		if err != nil {
			t.Fatal(err)
		}
		messages[i] = message
	}
	taken := (heap() - before) / len(messages)
	runtime.KeepAlive(messages)
	return taken
}
