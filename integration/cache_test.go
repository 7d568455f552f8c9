//go:build unix

package integration

// The host's cache of a real plugin.

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// cacheTest is a plugin with a cache.
type cacheTest struct {
	t      testing.TB
	client *plugin.Client
	ops    int
}

func newCacheTest(t testing.TB, bytes int64) *cacheTest {
	t.Helper()
	return &cacheTest{t: t, client: openPlugin(t, plugin.Config{
		Path: binary(t, "sessions-badger"), Settings: badger.Settings{Path: t.TempDir()}, Cache: bytes,
		Logger: slog.New(slog.NewTextHandler(watched.log(), nil)), CallTimeout: patience,
	})}
}

// tokens stores n access tokens, optionally of a session.
func (c *cacheTest) tokens(sid string, n int) (refs []grantstore.Ref) {
	c.t.Helper()
	for len(refs) < n {
		c.ops++
		batch := &grantstore.Batch{OperationID: fmt.Sprint("op", c.ops)}
		for len(batch.Store) < grantstore.MaxBatch && len(refs) < n {
			ref := grantstore.Ref{
				Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(fmt.Sprint(sid, c.ops, len(refs))),
			}
			batch.Store = append(batch.Store, grantstore.Grant{
				Ref: ref, RequestID: fmt.Sprint("r", c.ops, len(refs)), SubjectID: "ann", SessionID: sid,
				ClientID: "app", Created: time.Now().UTC(), Data: make([]byte, 900),
			})
			refs = append(refs, ref)
		}
		if _, err := c.client.Grants().Apply(c.t.Context(), batch, time.Now().UTC()); err != nil {
			c.t.Fatal(err)
		}
	}
	return refs
}

func (c *cacheTest) live(refs ...grantstore.Ref) {
	c.t.Helper()
	for _, ref := range refs {
		if _, err := c.client.Grants().Get(c.t.Context(), ref, time.Now().UTC()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// awaitCache waits until tokens are cached, that is until the stream of kills has begun.
func (c *cacheTest) awaitCache(ref grantstore.Ref) {
	c.t.Helper()
	testenv.Eventually(c.t, "a token is cached", func() bool {
		c.live(ref)
		return c.client.CacheFigures().Entries > 0
	})
}

// When the plugin's process ends, which streams the kills, its cached tokens are dropped. A new process
// begins with an empty cache.
func TestCacheIsDroppedWithItsPlugin(t *testing.T) {
	t.Parallel()
	c := newCacheTest(t, 0)
	ref := c.tokens("", 1)[0]
	for range 2 {
		c.awaitCache(ref)
		before := *c.client.CacheFigures()
		c.live(ref, ref)
		if now := c.client.CacheFigures(); now.Hits != before.Hits+2 || now.Fills != before.Fills {
			t.Errorf("two reads of a cached token: %+v after %+v, want two hits", *now, before)
		}
		pid := c.client.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, "a new plugin serves with an empty cache", func() bool {
			now := c.client.PID()
			figures := c.client.CacheFigures()
			return now != 0 && now != pid && figures != nil && figures.Drops > before.Drops
		})
	}
	if err := c.client.Close(); err != nil {
		t.Error(err)
	}
	_, err := c.client.Grants().Get(t.Context(), ref, time.Now().UTC())
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a cached token after Close: got %v, want ErrUnavailable", err)
	}
}

// A cached token is active while the plugin is stopped: nothing that would end it can be acknowledged
// meanwhile.
func TestCacheAnswersWhileThePluginIsStopped(t *testing.T) {
	t.Parallel()
	c := newCacheTest(t, 0)
	ref := c.tokens("", 1)[0]
	c.awaitCache(ref)
	pid := c.client.PID()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	testenv.Eventually(t, "the plugin is stopped", func() bool { return testenv.State(pid) == "T" })
	removed := make(chan error, 1)
	go func() {
		batch := &grantstore.Batch{OperationID: "remove", Delete: []grantstore.Ref{ref}}
		_, err := c.client.Grants().Apply(t.Context(), batch, time.Now().UTC())
		removed <- err
	}()
	c.live(ref, ref, ref)
	select {
	case err := <-removed:
		t.Errorf("a stopped plugin has answered: %v", err)
	default:
	}
	_ = syscall.Kill(pid, syscall.SIGCONT) // or the health check replaces the plugin
	if err := <-removed; err != nil {
		t.Fatal(err)
	}
	_, err := c.client.Grants().Get(t.Context(), ref, time.Now().UTC())
	if !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("a token after its removal was acknowledged: got %v, want ErrNotFound", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	const bound, tokens = 128 << 10, 200
	c := newCacheTest(t, bound)
	refs := c.tokens("", tokens)
	c.awaitCache(refs[0])
	c.live(refs...)
	figures := c.client.CacheFigures()
	if figures.Bytes > bound || figures.Entries == 0 || figures.Evictions == 0 {
		t.Errorf("%d tokens in a cache of %d bytes: %+v", tokens, bound, *figures)
	}
	if off := newCacheTest(t, -1).client.CacheFigures(); off != nil {
		t.Errorf("without a cache: %+v, want none", *off)
	}
}
