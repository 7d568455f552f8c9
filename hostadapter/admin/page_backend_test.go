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
	h.get("reader", "/ui/backend").mustSay(http.StatusOK, "Ready", "!End all sessions…",
		"!Download a backup")
	h.get("writer", "/ui/backend?x=1").mustSay(http.StatusBadRequest)

	lost := &manager{err: ticketstore.ErrUnavailable}
	lost.status = hostadapter.BackendStatus{
		Err: ticketstore.ErrUnavailable, Sessions: -1, PendingNotifications: -1,
	}
	response := recordPage(lost, httptest.NewRequest(http.MethodGet, "/admin/ui/backend", nil))
	(&seen{t: t, status: response.Code, body: response.Body.String()}).mustSay(http.StatusOK, "Unavailable",
		"<strong>–</strong>", "Try again")
}

// The page names the hosts of a shared store and the reason of a trouble, whatever it is, and links a running
// swap.
func TestBackendPageOfSeveralHosts(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := &manager{}
	m.status.Description = ticketstore.Description{
		Shared: true, Trouble: "3 sessions cannot be opened",
		Hosts: []ticketstore.Host{
			{Name: "node-1", Version: "v1.2.3", Beat: at.Add(time.Minute), Joined: at},
			{Name: "<node-2>", Version: "v1.2.4", Beat: at, Joined: at},
		},
	}
	show := func() *seen {
		response := recordPage(m, httptest.NewRequest(http.MethodGet, "/admin/ui/backend", nil))
		return &seen{t: t, status: response.Code, body: response.Body.String()}
	}
	show().mustSay(http.StatusOK, "node-1", "v1.2.3", "2026-03-01T12:01:00Z", "2026-03-01T12:00:00Z",
		"&lt;node-2&gt;", "v1.2.4", "Needs attention: <bdi>3 sessions cannot be opened", "!are refused",
		"!under way", "Swap the backend")
	m.status.Swap = &hostadapter.SwapState{ID: "j1", From: "now", To: "next"}
	show().mustSay(http.StatusOK, "under way", `href="job?id=j1"`, "!Swap the backend")
	m.status = hostadapter.BackendStatus{}
	show().mustSay(http.StatusOK, "!Last heartbeat")
}

// The last hour is shown as SVG with a text description, and as a table.
func TestActivityPage(t *testing.T) {
	t.Parallel()
	m := &manager{activity: make([]hostadapter.Minute, 60)}
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range m.activity {
		m.activity[i].Begin = begin.Add(time.Duration(i) * time.Minute)
	}
	m.activity[0].Started, m.activity[4].Started, m.activity[59].Started = 1, 2, 1200
	m.activity[59].Delivered = 5
	m.status = hostadapter.BackendStatus{Sessions: 7, Description: ticketstore.Description{Shared: true}}
	response := recordPage(m, httptest.NewRequest(http.MethodGet, "/admin/ui/activity", nil))
	page := &seen{t: t, status: response.Code, body: response.Body.String()}
	page.mustSay(http.StatusOK, "<strong>7</strong> <a href=\"./\">sessions",
		"1,203 in the last hour, at most 1,200 in a minute, at 12:59 UTC.", "None in the last hour.",
		`<rect x="1" y="58" width="8" height="2"/>`, `<rect x="591" y="0" width="8" height="60"/>`,
		`aria-labelledby="started-title started-text"`, "the other hosts of the store count their own",
		`<td data-label="Sign-ins" role="cell">3</td>`, `<td data-label="Sign-ins" role="cell">1,200</td>`,
		`<td data-label="Delivered" role="cell">5</td>`, "!<script>", "!style=")
	if n := strings.Count(page.body, "<rect"); n != 4 {
		t.Errorf("%d bars, want one for each minute and count that is not zero", n)
	}
	if response.Header().Get("Refresh") != "60" {
		t.Error("the page does not refresh itself")
	}
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
			t.Fatalf("the preview ended a session: %v", err)
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
			t.Errorf("the page refreshes itself: %t, want it while the job runs:\n%s", running,
				page.body)
		}
		return page.status == http.StatusOK && strings.Contains(page.body, `delivered">Done`)
	})
	h.get("reader", "/ui/job?id="+job).mustSay(http.StatusOK, append(counted("2", "2", "2", "2"), job)...)
	h.get("reader", "/ui/job?id=unknown").mustSay(http.StatusNotFound)
	h.get("writer", "/ui/").mustSay(http.StatusOK, "No active sessions.")
	for _, want := range []string{"all=true", "job=" + job, `reason="keys leaked"`, "status=303"} {
		if !strings.Contains(h.log.String(), want) {
			t.Errorf("the audit log lacks %s:\n%s", want, h.log.String())
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
	testenv.Eventually(t, "the wiki was notified of both again", func() bool { return refused(before) == 2 })
	if log := h.log.String(); !strings.Contains(log, "action=retry_deliveries") ||
		!strings.Contains(log, "notifications_queued=2") {
		t.Errorf("the audit log lacks the retried notifications:\n%s", log)
	}
}
