package admin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// allFlags is the form with all options selected.
func allFlags(more url.Values) url.Values {
	form := url.Values{
		"remove_server_side_session": {"true"}, "send_backchannel_logout_notification": {"true"},
		"revoke_tokens": {"true"}, "revoke_consents": {"true"},
	}
	for name, values := range more {
		form[name] = values
	}
	return form
}

// counted returns the page's texts for counts.
func counted(sessions, tokens, consents, notifications string) []string {
	return []string{
		"<strong>" + sessions + "</strong> session", "<strong>" + tokens + "</strong> token",
		"<strong>" + consents + "</strong> consent",
		"<strong>" + notifications + "</strong> notification",
	}
}

// remove posts the removal form and follows the redirect to the result.
func (h *pageHost) remove(form url.Values) *seen {
	h.t.Helper()
	answer := h.post("writer", "/ui/remove", form)
	location := answer.header.Get("Location")
	if answer.status != http.StatusSeeOther || !strings.HasPrefix(location, "removed?") {
		h.t.Errorf("a removal answered %d to %q, want 303 to its result", answer.status, location)
	}
	return h.get("writer", "/ui/"+location)
}

func TestRemovalOfOne(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail")
	h.signedIn("s2", "1002", "Ben Example", time.Hour, "shop")
	page := h.get("writer", "/ui/session?session_id=s1")
	page = h.get("writer", "/ui/"+page.link("End session…")).
		mustSay(http.StatusOK,
			append(counted("1", "2", "2", "2"), "End this session?", "Ann Example", "Firefox 127 on Linux",
				"!Ben Example")...)
	if strings.Count(page.body, " checked") != 4 {
		t.Errorf("%d options are selected initially, want all four", strings.Count(page.body, " checked"))
	}
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err != nil {
		t.Fatalf("the preview ended the session: %v", err)
	}
	h.remove(allFlags(url.Values{"session_id": {"s1"}, "reason": {"a lost laptop"}, "do": {"remove"}})).
		mustSay(http.StatusOK,
			append(counted("1", "2", "2", "2"), "<h1>Done</h1>", `href="deliveries?session_id=s1"`,
				`href="./?subject_id=1001"`)...)
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err == nil {
		t.Error("the session still exists")
	}
	if _, err := h.Operations().SessionByID(t.Context(), "s2"); err != nil {
		t.Errorf("a different session: %v, want it live", err)
	}
	for _, want := range []string{
		"action=preview_removal", "action=remove_sessions", "actor_id=writer", "session_id=s1",
		`reason="a lost laptop"`, "sessions_removed=1",
		"grants_revoked=2", "dry_run=true", "dry_run=false", "status=200", "status=303", "revoke_tokens=true",
		"sessions_before=1", "sessions_after=0", "result=done",
	} {
		if !strings.Contains(h.log.String(), want) {
			t.Errorf("the audit log lacks %s:\n%s", want, h.log.String())
		}
	}
	h.remove(allFlags(url.Values{"session_id": {"s1"}})).mustSay(http.StatusOK,
		"Nothing matched")
}

func TestRemovalFlags(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail")
	for flag, want := range map[string][]string{
		"remove_server_side_session":           append(counted("0", "2", "2", "2"), "keep the session"),
		"send_backchannel_logout_notification": counted("1", "2", "2", "0"),
		"revoke_tokens":                        counted("1", "0", "2", "2"),
		"revoke_consents":                      counted("1", "2", "0", "2"),
	} {
		form := allFlags(url.Values{"session_id": {"s1"}, "do": {"preview"}, "reason": {"my reason"}})
		form.Del(flag)
		page := h.post("writer", "/ui/remove", form).mustSay(http.StatusOK,
			append(want, `value="my reason"`, "End this session?")...)
		if strings.Count(page.body, " checked") != 3 {
			t.Errorf("%s off: %d options selected, want three", flag, strings.Count(page.body, " checked"))
		}
	}
	h.post("writer", "/ui/remove", url.Values{"session_id": {"s1"}, "do": {"preview"}}).mustSay(http.StatusOK,
		"No option is selected")
	form := allFlags(url.Values{"session_id": {"s1"}, "do": {"remove"}})
	form.Del("remove_server_side_session")
	h.remove(form).mustSay(http.StatusOK, counted("0", "2", "2", "2")...)
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err != nil {
		t.Errorf("the kept session: %v", err)
	}
}

// A removal must match its preview: changed options lead to a new preview.
func TestStalePreviewIsShownAgain(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail")
	const again = "The options were changed after the preview"
	previewed := func(page *seen) string {
		t.Helper()
		_, rest, found := strings.Cut(page.body, `name="previewed" value="`)
		value, _, _ := strings.Cut(rest, `"`)
		if !found || value == "" {
			t.Fatalf("the form does not contain the previewed options:\n%s", page.body)
		}
		return value
	}
	first := previewed(h.get("writer", "/ui/remove?session_id=s1").mustSay(http.StatusOK, "!"+again))
	keep := allFlags(url.Values{"session_id": {"s1"}, "do": {"remove"}, "previewed": {first}})
	keep.Del("remove_server_side_session")
	narrowed := allFlags(url.Values{
		"session_id": {"s1"}, "client_id": {"mail"}, "do": {"remove"}, "previewed": {first},
	})
	h.post("writer", "/ui/remove", narrowed).
		mustSay(http.StatusOK, append(counted("1", "1", "1", "1"), again)...)
	page := h.post("writer", "/ui/remove", keep).
		mustSay(http.StatusOK, append(counted("0", "2", "2", "2"), again, "keep the session")...)
	h.get("writer", "/ui/remove?session_id=s1").mustSay(http.StatusOK, counted("1", "2", "2", "2")...)
	if log := h.log.String(); strings.Contains(log, "action=remove_sessions") {
		t.Errorf("the audit has a removal:\n%s", log)
	}
	keep.Set("do", "preview")
	h.post("writer", "/ui/remove", keep).mustSay(http.StatusOK, "!"+again)
	keep.Set("do", "remove")
	keep.Set("previewed", previewed(page))
	keep.Set("reason", "not part of the preview")
	h.remove(keep).mustSay(http.StatusOK, counted("0", "2", "2", "2")...)
}

func TestRemovalOfSelectedAndOfSubject(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop")
	h.signedIn("s2", "1002", "Ben Example", time.Hour, "mail")
	h.signedIn("s3", "1003", "Chloë", time.Hour, "shop")
	h.signedIn("s4", "1003", "Chloë", time.Hour, "mail")
	h.get("writer", "/ui/remove?session_id=s1&session_id=s2&session_id=gone").mustSay(http.StatusOK,
		append(counted("2", "2", "2", "2"), "End 2 sessions?", "Ann Example", "Ben Example", "!Chloë",
			"A selected session is no longer active")...)
	h.remove(allFlags(url.Values{"session_id": {"s1", "s2", "s1"}})).mustSay(http.StatusOK,
		append(counted("2", "2", "2", "2"), `href="deliveries?session_id=s1"`,
			`href="deliveries?session_id=s2"`)...)
	h.get("writer", "/ui/remove?subject_id=1003").mustSay(http.StatusOK,
		append(counted("2", "2", "2", "2"), "End all of this subject?", "Chloë")...)
	h.remove(allFlags(url.Values{"subject_id": {"1003"}})).mustSay(http.StatusOK,
		counted("2", "2", "2", "2")...)
	h.get("writer", "/ui/").mustSay(http.StatusOK, "No active sessions.")
	if log := h.log.String(); !strings.Contains(log, `session_ids="[s1 s2]"`) ||
		!strings.Contains(log, "subject_id=1003") {
		t.Errorf("the audit log does not name the selected sessions:\n%s", log)
	}
}

func TestRemovalRefusesBadForms(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour)
	many := make([]string, 101)
	for i := range many {
		many[i] = "s1"
	}
	for name, form := range map[string]url.Values{
		"nothing selected": {}, "an empty session": {"session_id": {""}},
		"an empty subject": {"subject_id": {""}}, "two subjects": {"subject_id": {"a", "b"}},
		"too many":          {"session_id": many},
		"a misspelled flag": {"session_id": {"s1"}, "revoke_token": {"true"}},
		"a long id":         {"session_id": {strings.Repeat("x", 513)}},
		"a long reason":     {"session_id": {"s1"}, "reason": {strings.Repeat("x", 5000)}},
	} {
		if page := h.post("writer", "/ui/remove", form); page.status != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400:\n%.500s", name, page.status, page.body)
		}
		if form.Get("reason") == "" && !form.Has("revoke_token") {
			if page := h.get("writer", "/ui/remove?"+form.Encode()); page.status != http.StatusBadRequest {
				t.Errorf("preview of %s: status %d, want 400", name, page.status)
			}
		}
	}
	h.send("writer", http.MethodPost, "/ui/remove", url.Values{"session_id": {"s1"}},
		map[string]string{"Content-Type": "text/plain"}).
		mustSay(http.StatusUnsupportedMediaType)
	h.post("writer", "/ui/remove?session_id=s1", allFlags(nil)).mustSay(http.StatusBadRequest)
	h.post("writer", "/ui/remove",
		url.Values{"session_id": {strings.Repeat("x", 70<<10)}}).mustSay(http.StatusRequestEntityTooLarge)
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err != nil {
		t.Errorf("the session: %v, want it live", err)
	}
}

func TestDeliveriesPage(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail", "wiki")
	h.get("writer", "/ui/deliveries").mustSay(http.StatusOK, "No notification yet")
	if _, err := h.RemoveSessions(t.Context(), hostadapter.SessionRemoval{SessionID: "s1"}); err != nil {
		t.Fatal(err)
	}
	state := func(client string) (n logout.Notification) {
		page, err := h.Operations().QueryNotifications(t.Context(),
			logout.NotificationQuery{Filter: logout.NotificationFilter{ClientID: client}})
		if err != nil || len(page.Notifications) != 1 {
			t.Fatalf("deliveries of %s: %v, error %v", client, page, err)
		}
		return page.Notifications[0]
	}
	testenv.Eventually(t, "all clients have answered", func() bool {
		return state("shop").State == logout.Delivered && state("wiki").State == logout.Refused &&
			state("mail").LastError != ""
	})
	h.get("writer", "/ui/deliveries").mustSay(http.StatusOK, "Delivered", "Refused", "Pending",
		"the client answered 500", "the client answered 400", "Ended by an operator")
	h.get("writer", "/ui/deliveries?state=refused").mustSay(http.StatusOK, "wiki", "!the client answered 500")
	h.get("writer", "/ui/deliveries?client_id=mail&session_id=s1").mustSay(http.StatusOK,
		"the client answered 500", "!the client answered 400")
	h.get("writer", "/ui/deliveries?session_id=other").mustSay(http.StatusOK, "No notification matches")
	h.get("writer", "/ui/deliveries?state=lost").mustSay(http.StatusBadRequest, "State is none of")
	first := h.get("writer", "/ui/deliveries?count_requested=2")
	h.get("writer",
		"/ui/"+strings.Replace(first.link("Next"), "?", "deliveries?", 1)).mustSay(http.StatusOK, "Previous")
	h.get("reader", "/ui/session?session_id=s1").mustSay(http.StatusNotFound, "This session has ended",
		"the client answered 400")

	before := state("wiki")
	form := url.Values{"id": {before.ID}, "client_id": {"wiki"}, "state": {"refused"}}
	back := h.post("writer", "/ui/retry", form)
	if back.status != http.StatusSeeOther ||
		back.header.Get("Location") != "deliveries?again=1&client_id=wiki" {
		t.Errorf("send again: %d to %q, want 303 to the list", back.status, back.header.Get("Location"))
	}
	h.get("writer", "/ui/"+back.header.Get("Location")).mustSay(http.StatusOK,
		"1 notification is sent again now", "wiki")
	testenv.Eventually(t, "the client was notified again", func() bool {
		now := state("wiki")
		return now.State == logout.Refused && now.LastAttempt.After(before.LastAttempt)
	})
	h.post("writer", "/ui/retry", url.Values{"id": {"unknown"}}).mustSay(http.StatusNotFound)
	h.post("writer", "/ui/retry", url.Values{}).mustSay(http.StatusBadRequest)
	if log := h.log.String(); !strings.Contains(log, "action=retry_delivery") ||
		!strings.Contains(log, "notification_id="+before.ID) {
		t.Errorf("the audit log lacks the retried notification:\n%s", log)
	}
}
