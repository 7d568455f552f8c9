package admin_test

// The search field, the timeline, revocation, and removals narrowed to clients.

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
)

func TestSearchFromOneField(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop")
	h.signedIn("s2", "1002", "The shop's owner", time.Hour, "mail")
	h.get("reader", "/ui/").mustSay(http.StatusOK, `action="search"`, `id="q"`)
	for text, want := range map[string]string{
		"s1": "session?session_id=s1", "1001": "./?subject_id=1001", "mail": "./?client_id=mail",
		"ANN": "./?display_name=ANN", "nobody": "./?display_name=nobody", "": "./",
	} {
		page := h.get("reader", "/ui/search?"+url.Values{"q": {text}}.Encode())
		if page.status != http.StatusSeeOther || page.header.Get("Location") != want {
			t.Errorf("%q: %d to %q, want 303 to %q", text, page.status, page.header.Get("Location"), want)
		}
	}
	page := h.get("reader", "/ui/search?q=shop").mustSay(http.StatusOK, "Client", "Name", "1 session",
		"!Subject")
	if link := page.link("Client"); link != "./?client_id=shop" {
		t.Errorf("the client's link leads to %q", link)
	}
	h.get("reader", "/ui/search?q=%3Cscript%3E").mustSay(http.StatusSeeOther)
	h.get("reader", "/ui/search?q="+strings.Repeat("x", 600)).mustSay(http.StatusSeeOther)
	h.get("reader", "/ui/search?q="+strings.Repeat("x", 5000)).mustSay(http.StatusBadRequest)
	h.get("reader", "/ui/search?subject=1001").mustSay(http.StatusBadRequest)
}

func TestTimelineOfASession(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop")
	page := h.get("reader", "/ui/session?session_id=s1").mustSay(http.StatusOK, "Timeline")
	at := -1
	for _, entry := range []string{
		"<li><span>Authenticated", "<li><span>Signed in", "<li><span>First used by",
		`<li><span><span class="quiet">Ends unless it is used`,
	} {
		found := strings.Index(page.body, entry)
		if found <= at {
			t.Errorf("%q is at %d, want it after %d", entry, found, at)
		}
		at = found
	}
}

// The pages use the terms that operators know.
func TestTermsOfThePages(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop")
	h.get("reader", "/ui/session?session_id=s1").mustSay(http.StatusOK, "<dt>Authenticated</dt>",
		"<dt>Authentication methods</dt>", "<dt>Last seen</dt>", "<dt>Idle timeout</dt>",
		"<dt>Absolute expiry</dt>", `data-label="Back-channel logout"`)
	h.get("reader", "/ui/").mustSay(http.StatusOK, ">Last seen</th>", `data-label="Last seen"`)
}

// A token and a consent are revoked from the session's page, and only those.
func TestRevocationFromThePage(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail")
	h.get("reader", "/ui/session?session_id=s1").mustSay(http.StatusOK, "Consents of the subject",
		`!action="revoke"`)
	h.get("writer", "/ui/session?session_id=s1").mustSay(http.StatusOK, `action="revoke"`)
	grants := func() (text string) {
		page, err := h.Operations().QueryGrants(t.Context(),
			grantstore.Query{Filter: grantstore.Filter{SubjectID: "1001"}})
		if err != nil {
			t.Fatal(err)
		}
		for i := range page.Grants {
			text += string(page.Grants[i].Type) + " " + page.Grants[i].ClientID + "; "
		}
		return text
	}
	page := h.get("writer", "/ui/session?session_id=s1").body
	form := func(button string) url.Values {
		form, _, found := strings.Cut(page, button)
		form = form[strings.LastIndex(form, "<form"):]
		fields := regexp.MustCompile(`name="([a-z_]+)" value="([^"]+)"`).FindAllStringSubmatch(form, -1)
		if !found || len(fields) != 2 {
			t.Fatalf("the page has no form with two fields for %q", button)
		}
		return url.Values{fields[0][1]: {fields[0][2]}, fields[1][1]: {fields[1][2]}}
	}
	token, consent := form(" the refresh token of shop"), form(" the consent to mail")
	for _, form := range []url.Values{token, consent} {
		for name := range form {
			less := url.Values{}
			for other, values := range form {
				if other != name {
					less[other] = values
				}
			}
			h.post("writer", "/ui/revoke", less).mustSay(http.StatusBadRequest)
		}
		h.post("reader", "/ui/revoke", form).mustSay(http.StatusForbidden)
	}
	if got := grants(); strings.Count(got, ";") != 4 {
		t.Fatalf("a refused revocation was made: %s are left", got)
	}
	for _, form := range []url.Values{token, consent} {
		answer := h.post("writer", "/ui/revoke", form)
		if got := answer.header.Get("Location"); got != "session?revoked=1&session_id=s1" {
			t.Errorf("revocation leads to %q with %d", got, answer.status)
		}
		h.get("writer", "/ui/"+answer.header.Get("Location")).mustSay(http.StatusOK, "1 grant was revoked")
	}
	if got := grants(); strings.Count(got, ";") != 2 || !strings.Contains(got, "refresh_token mail") ||
		!strings.Contains(got, "user_consent shop") {
		t.Errorf("%s are left, want mail's token and the shop's consent", got)
	}
	if log := h.log.String(); !strings.Contains(log, "action=remove_grants") ||
		!strings.Contains(log, "grant_id="+token.Get("id")) || !strings.Contains(log, "type=refresh_token") {
		t.Errorf("the audit log is\n%s", log)
	}
}

// A removal narrowed to a client counts and ends only that client's grants.
func TestRemovalNarrowedToAClient(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	h.signedIn("s1", "1001", "Ann Example", time.Hour, "shop", "mail")
	h.get("writer", "/ui/remove?session_id=s1").mustSay(http.StatusOK,
		append(counted("1", "2", "2", "2"), "Only these clients", `name="client_id" value="mail"`)...)
	form := allFlags(url.Values{"session_id": {"s1"}, "client_id": {"mail"}, "do": {"preview"}})
	h.post("writer", "/ui/remove", form).mustSay(http.StatusOK, append(counted("1", "1", "1", "1"),
		`name="client_id" value="mail" checked`, `name="client_id" value="shop"><span>`)...)
	form.Del("remove_server_side_session")
	form.Set("do", "remove")
	h.remove(form).mustSay(http.StatusOK, counted("0", "1", "1", "1")...)
	if _, err := h.Operations().SessionByID(t.Context(), "s1"); err != nil {
		t.Errorf("the kept session: %v", err)
	}
	if !strings.Contains(h.log.String(), "client_ids=[mail]") {
		t.Errorf("the audit log lacks the client:\n%s", h.log)
	}
	h.post("writer", "/ui/remove", allFlags(url.Values{"session_id": {"s1"}, "client_id": {""}})).
		mustSay(http.StatusBadRequest)
}

// The page of a result shows only counts: other values are refused.
func TestForgedResult(t *testing.T) {
	t.Parallel()
	h := newPageHost(t)
	const counts = "grants_revoked=1&consents_revoked=1&notifications_queued=1"
	h.get("reader", "/ui/removed?sessions_removed=1&"+counts+"&session_id=%3Cb%3E").mustSay(http.StatusOK,
		"&lt;b&gt;", "!<b>")
	for _, query := range []string{
		"", counts, counts + "&sessions_removed=-1", counts + "&sessions_removed=x",
	} {
		h.get("reader", "/ui/removed?"+query).mustSay(http.StatusBadRequest)
	}
}
