package fositestore

// The cached form of a grant.

import (
	"fmt"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// A cached grant uses no more memory than the cache counts for it, whatever its claims. Not parallel, because
// it measures the heap.
func TestKeptRequestsUseCountedMemory(t *testing.T) { //nolint:paralleltest // it measures the heap
	groups := make([]any, 500)
	for i := range groups {
		groups[i] = fmt.Sprint("group", i)
	}
	for name, extra := range map[string]map[string]any{
		"ordinary claims": {"sid": "7d1f0e7a3b4c1d9e2f8d7f1f0e7a3b4c"},
		"500 groups":      {"groups": groups},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := encodeRequest(requestWith(extra), encoding{})
			if err != nil {
				t.Fatal(err)
			}
			counted, taken := grantstore.MemoSize(len(data)), heapOf(t, data)
			if taken > counted || taken < len(data) {
				t.Errorf("%d bytes of data: cached it uses %d bytes, want at most the %d counted", len(data),
					taken, counted)
			}
		})
	}
}

// requestWith returns a request with an ordinary OpenID session and custom claims.
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

// heapOf returns the memory of the cached form of data, in bytes: the most of several measurements, because
// what is freed meanwhile, such as buffers of servers that earlier tests have closed, makes it less.
func heapOf(t *testing.T, data []byte) (most int) {
	t.Helper()
	for range 6 {
		memos := make([]grantstore.Memo, 2000)
		before := testenv.Heap()
		for i := range memos {
			request, err := parse(data)
			if err != nil {
				t.Fatal(err)
			}
			memos[i].Keep(&row{request: request})
		}
		most = max(most, int(testenv.Heap()-before)/len(memos))
		runtime.KeepAlive(memos)
	}
	return most
}
