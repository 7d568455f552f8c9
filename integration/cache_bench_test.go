//go:build unix

package integration

// The cost of introspection from the cache, and the cache's memory.

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
)

// introspecting is a provider with the access tokens that it issued.
type introspecting struct {
	provider fosite.OAuth2Provider
	client   *plugin.Client // nil for fosite's own store
	tokens   []string
}

// introspectingPlugin returns a provider on a plugin, with a cache of the given size in bytes.
func introspectingPlugin(b *testing.B, tokens int, cache int64) *introspecting {
	b.Helper()
	noSync := false
	client := openPlugin(b, plugin.Config{
		Path: binary(b, "sessions-badger"), Settings: badger.Settings{Path: b.TempDir(), Sync: &noSync},
		Cache: cache, Logger: slog.New(slog.DiscardHandler),
	})
	config := introspectingConfig()
	sm, err := fositestore.Attach(b.Context(), fositestore.Config{
		Backend: client, Fosite: config, Store: introspectingClients(),
		Key:  func(context.Context) (any, error) { return benchKey(), nil },
		Host: hostadapter.Config{Logger: slog.New(slog.DiscardHandler)},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sm.Close() })
	in := &introspecting{client: client, tokens: make([]string, tokens)}
	in.provider = sm.Provider(compose.ComposeAllEnabled(config, sm.Store(), benchKey()))
	in.issue(b, config, sm.Store())
	return in
}

func introspectingMemory(b *testing.B, tokens int) *introspecting {
	b.Helper()
	config, memory := introspectingConfig(), introspectingClients()
	in := &introspecting{tokens: make([]string, tokens)}
	in.provider = compose.ComposeAllEnabled(config, memory, benchKey())
	in.issue(b, config, memory)
	return in
}

func introspectingConfig() *fosite.Config {
	return &fosite.Config{
		IDTokenIssuer: "http://localhost:9000", GlobalSecret: []byte(rand.Text() + rand.Text()),
	}
}

func introspectingClients() *storage.MemoryStore {
	memory := storage.NewMemoryStore()
	memory.Clients["app"] = &fosite.DefaultClient{ID: "app", Scopes: []string{"openid", "photos"}}
	return memory
}

// issue stores access tokens as a code exchange does.
func (in *introspecting) issue(b *testing.B, config *fosite.Config, store oauth2.AccessTokenStorage) {
	b.Helper()
	strategy := compose.NewOAuth2HMACStrategy(config)
	prepare(b, len(in.tokens), func(i int) error {
		session := openid.NewDefaultSession()
		session.Subject, session.Claims.Subject = fmt.Sprint("user", i), fmt.Sprint("user", i)
		session.SetExpiresAt(fosite.AccessToken, time.Now().Add(time.Hour))
		request := fosite.NewAccessRequest(session)
		request.Client = &fosite.DefaultClient{ID: "app"}
		request.Form.Set("redirect_uri", "https://app.example/callback")
		request.Form.Set("state", rand.Text())
		for _, scope := range []string{"openid", "photos"} {
			request.AppendRequestedScope(scope)
			request.GrantScope(scope)
		}
		token, signature, err := strategy.GenerateAccessToken(b.Context(), request)
		if err != nil {
			return err
		}
		in.tokens[i] = token
		return store.CreateAccessTokenSession(b.Context(), signature, request)
	})
}

func (in *introspecting) ask(ctx context.Context, i int) error {
	token := in.tokens[i%len(in.tokens)]
	_, _, err := in.provider.IntrospectToken(ctx, token, fosite.AccessToken, openid.NewDefaultSession())
	return err
}

// BenchmarkIntrospection asks about tokens in process, without HTTP.
func BenchmarkIntrospection(b *testing.B) {
	const tokens = 1000
	for _, store := range []struct {
		name string
		make func(b *testing.B) *introspecting
	}{
		{"memory", func(b *testing.B) *introspecting { return introspectingMemory(b, tokens) }},
		{"cached", func(b *testing.B) *introspecting { return introspectingPlugin(b, tokens, 0) }},
		{"cache off", func(b *testing.B) *introspecting { return introspectingPlugin(b, tokens, -1) }},
	} {
		b.Run("store="+store.name, func(b *testing.B) {
			in := store.make(b)
			prepare(b, tokens, func(i int) error { return in.ask(b.Context(), i) })
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := in.ask(b.Context(), i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCacheMemory reports the heap that decoded cached tokens use, and the cache's own estimate.
func BenchmarkCacheMemory(b *testing.B) {
	const tokens = 100_000
	in := introspectingPlugin(b, tokens, 8<<30)
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	prepare(b, tokens, func(i int) error { return in.ask(b.Context(), i) })
	prepare(b, tokens, func(i int) error { return in.ask(b.Context(), i) }) // caches those not cached yet
	after, figures := heap(), in.client.CacheFigures()
	if figures.Entries != tokens {
		b.Errorf("%d tokens: %+v", tokens, *figures)
	}
	for b.Loop() { // the metrics were measured above
	}
	b.ReportMetric(float64(after-before)/float64(figures.Entries), "heap-B/token")
	b.ReportMetric(float64(figures.Bytes)/float64(figures.Entries), "estimate-B/token")
	b.ReportMetric(float64(after-before)/(1<<20), "heap-MiB")
}

// BenchmarkRemovalOfCachedTokens removes subjects with many tokens, cached and uncached, over HTTP: the
// response waits for one message to each host.
func BenchmarkRemovalOfCachedTokens(b *testing.B) {
	const tokens = 10_000
	onEngines(b, func(b *testing.B, empty func() plugin.Config) {
		for name, bytes := range map[string]int64{"on": 1 << 30, "off": -1} {
			b.Run("cache="+name, func(b *testing.B) {
				config := empty()
				config.Cache = bytes
				c := &cacheTest{t: b, client: openPlugin(b, config)}
				server := adminServer(b, c.client)
				for n := 0; b.Loop(); n++ {
					b.StopTimer()
					now := time.Now().UTC()
					session := benchSession(n, fmt.Sprint("subject ", n), now, now.Add(time.Hour))
					if err := c.client.Tickets().Create(b.Context(), session); err != nil {
						b.Fatal(err)
					}
					refs := c.tokens(session.SessionID, tokens)
					c.live(refs...)
					if figures := c.client.CacheFigures(); figures != nil && figures.Entries < tokens {
						b.Errorf("%d tokens are cached, want %d", figures.Entries, tokens)
					}
					b.StartTimer()
					removeBySubject(b, server, session.SubjectID)
				}
				if figures := c.client.CacheFigures(); figures != nil && figures.Entries > 0 {
					b.Errorf("tokens are cached: %+v", *figures)
				}
			})
		}
	})
}

func removeBySubject(b *testing.B, server, subject string) {
	b.Helper()
	response, err := http.Post(server+"/sessions/remove", "application/json",
		strings.NewReader(fmt.Sprintf(`{"subject_id":%q}`, subject)))
	if err != nil {
		b.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK ||
		!strings.Contains(string(answer), `"sessions_removed":1`) {
		b.Fatalf("a removal answered %d %s, %v, want one session removed", response.StatusCode, answer, err)
	}
}
