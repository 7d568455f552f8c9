package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func TestSwapFromThePage(t *testing.T) {
	t.Parallel()
	noSync := false
	folder := t.TempDir()
	h := newPageHost(t, func(config *hostadapter.Config) {
		config.Swap.BackendName = "main"
		config.Swap.Backends = map[string]func(context.Context) (sessions.Backend, error){
			"next": func(ctx context.Context) (sessions.Backend, error) {
				return badger.Open(ctx, badger.Settings{Path: folder, Sync: &noSync, MemoryMiB: 64},
					slog.New(slog.DiscardHandler))
			},
			"broken": func(context.Context) (sessions.Backend, error) {
				return nil, errors.New("it does not exist")
			},
		}
	})
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop")
	h.get("reader", "/ui/backend").mustSay(http.StatusOK, "<bdi>main</bdi>", "!Replace the backend")
	h.get("writer", "/ui/backend").mustSay(http.StatusOK, "Swap the backend",
		`<option value="next">next</option>`)
	for name, form := range map[string]url.Values{
		"no backend": {}, "one that is not configured": {"backend": {"nowhere"}},
		"one that does not open":              {"backend": {"broken"}},
		"an upgrade that could not come back": {"backend": {"next"}, "same_data": {"true"}},
	} {
		if page := h.post("writer", "/ui/swap", form); page.status < 400 || page.status >= 500 {
			t.Errorf("a swap to %s returned %d", name, page.status)
		}
	}
	h.post("reader", "/ui/swap", url.Values{"backend": {"next"}}).mustSay(http.StatusForbidden)
	begun := h.post("writer", "/ui/swap", url.Values{"backend": {"next"}})
	job, led := strings.CutPrefix(begun.header.Get("Location"), "job?id=")
	if begun.status != http.StatusSeeOther || !led || job == "" {
		t.Fatalf("%d to %q, want 303 to the job", begun.status, begun.header.Get("Location"))
	}
	testenv.Eventually(t, "the swap is done", func() bool {
		return strings.Contains(h.get("reader", "/ui/job?id="+job).body, `delivered">Done`)
	})
	h.get("writer", "/ui/job?id="+job).mustSay(http.StatusOK, "Swapping the backend",
		"The new backend serves", "<bdi>next</bdi>", "Writes paused", "!Abort")
	h.get("writer", "/ui/backend").mustSay(http.StatusOK, `<option value="next">next (serves now)</option>`)
	h.get("writer", "/ui/session?session_id=s1").mustSay(http.StatusOK, "Ann Example")
	h.post("writer", "/ui/abort-swap", url.Values{"id": {job}}).mustSay(http.StatusConflict,
		"the swap is over")
	h.post("writer", "/ui/abort-swap", url.Values{"id": {"unknown"}}).mustSay(http.StatusNotFound)
	if log := h.log.String(); !strings.Contains(log, "action=swap_backend") ||
		!strings.Contains(log, "status=303") {
		t.Errorf("the audit log lacks the swap:\n%s", log)
	}
}
