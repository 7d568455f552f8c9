package admin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestBackendPage(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop")
	h.get("writer", "/ui/backend").mustSay(http.StatusOK, "Ready", "badger",
		"<strong>1</strong> <a href=\"./\">sessions", "End all sessions…",
		"Download a backup", `action="../backend/backup"`)
	h.get("reader", "/ui/backend").mustSay(http.StatusOK, "Ready", "!End all sessions…", "!Download a backup")
	h.get("writer", "/ui/backend?x=1").mustSay(http.StatusBadRequest)

	lost := &manager{err: ticketstore.ErrUnavailable}
	lost.status = hostadapter.BackendStatus{
		Err: ticketstore.ErrUnavailable, Sessions: -1, PendingNotifications: -1,
	}
	response := recordPage(lost, httptest.NewRequest(http.MethodGet, "/admin/ui/backend", nil))
	(&seen{t: t, status: response.Code, body: response.Body.String()}).mustSay(http.StatusOK, "Unavailable",
		"<strong>–</strong>", "Try again")
}

func TestGrantsOfASession(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail")
	page := h.get("reader", "/ui/session?session_id=s1").mustSay(http.StatusOK, `<h2 id="grants">Grants</h2>`,
		"Active grants of this session")
	if n := strings.Count(page.body, `<span class="name">Refresh token</span>`); n != 2 {
		t.Errorf("%d refresh tokens are listed, want two", n)
	}
}

func TestRemovalOfAll(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop")
	h.signedIn("s2", "1002", "Ben Example", time.Hour, "mail")
	h.get("writer", "/ui/remove?all=true").mustSay(http.StatusOK,
		append(counted("2", "2", "2", "2"), "End all sessions?", "End every session")...)
	h.post("writer", "/ui/remove",
		allFlags(url.Values{"all": {"true"}, "do": {"remove"}})).mustSay(http.StatusBadRequest,
		"select to end every session")
	h.post("writer", "/ui/remove",
		allFlags(url.Values{
			"all": {"true"}, "sure": {"true"}, "subject_id": {"1001"},
		})).mustSay(http.StatusBadRequest)
	h.get("reader", "/ui/remove?all=true").mustSay(http.StatusForbidden)
	for _, sid := range []string{"s1", "s2"} {
		if _, err := h.Operations().SessionByID(t.Context(), sid); err != nil {
			t.Fatalf("asking ended a session: %v", err)
		}
	}
	begun := h.post("writer", "/ui/remove",
		allFlags(url.Values{"all": {"true"}, "sure": {"true"}, "do": {"remove"}, "reason": {"keys leaked"}}))
	job, led := strings.CutPrefix(begun.header.Get("Location"), "job?id=")
	if begun.status != http.StatusSeeOther || !led || job == "" {
		t.Fatalf("%d to %q, want 303 to the job", begun.status, begun.header.Get("Location"))
	}
	testenv.Eventually(t, "the job is done", func() bool {
		page := h.get("reader", "/ui/job?id="+job)
		if running := page.header.Get("Refresh") != ""; running != strings.Contains(page.body, "Running") {
			t.Errorf("the page loads itself again: %t, want it to while the job runs:\n%s", running,
				page.body)
		}
		return page.status == http.StatusOK && strings.Contains(page.body, `delivered">Done`)
	})
	h.get("reader", "/ui/job?id="+job).mustSay(http.StatusOK, append(counted("2", "2", "2", "2"), job)...)
	h.get("reader", "/ui/job?id=unknown").mustSay(http.StatusNotFound)
	h.get("writer", "/ui/").mustSay(http.StatusOK, "No active sessions.")
	for _, want := range []string{"all=true", "job=" + job, `reason="keys leaked"`, "status=303"} {
		if !strings.Contains(h.log.String(), want) {
			t.Errorf("the audit lacks %s:\n%s", want, h.log.String())
		}
	}
}

func TestSendAllThatMatchAgain(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "wiki")
	h.signedIn("s2", "1001", "Ann Example", time.Hour, "wiki", "shop")
	if _, err := h.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SubjectID: "1001"}); err != nil {
		t.Fatal(err)
	}
	refused := func(after time.Time) int {
		page, err := h.Operations().QueryNotifications(t.Context(),
			logout.NotificationQuery{Filter: logout.NotificationFilter{State: logout.Refused}})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, delivery := range page.Notifications {
			if delivery.LastAttempt.After(after) {
				n++
			}
		}
		return n
	}
	testenv.Eventually(t, "the wiki has refused both", func() bool { return refused(time.Time{}) == 2 })
	h.get("writer", "/ui/deliveries").mustSay(http.StatusOK, "!Send all that match again")
	h.get("writer", "/ui/deliveries?state=refused").mustSay(http.StatusOK, "Send all that match again")
	h.post("writer", "/ui/retry-all", url.Values{}).mustSay(http.StatusBadRequest)
	before := time.Now()
	back := h.post("writer", "/ui/retry-all", url.Values{"state": {"refused"}, "client_id": {"wiki"}})
	if back.status != http.StatusSeeOther ||
		back.header.Get("Location") != "deliveries?again=2&client_id=wiki" {
		t.Errorf("%d to %q, want 303 to the list", back.status, back.header.Get("Location"))
	}
	h.get("writer", "/ui/"+back.header.Get("Location")).mustSay(http.StatusOK,
		"2 notifications are sent again now")
	testenv.Eventually(t, "the wiki was notified again of both", func() bool { return refused(before) == 2 })
	if log := h.log.String(); !strings.Contains(log, "action=retry_deliveries") ||
		!strings.Contains(log, "notifications_queued=2") {
		t.Errorf("the audit lacks what was sent again:\n%s", log)
	}
}
