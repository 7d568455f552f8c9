package integration

// Operators and users, from sign-in to removal.

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// world is a provider with two clients and two users signed in at both.
type world struct {
	*provider
	shop, mail                                 *relyingParty
	annsBrowser, bobsBrowser                   *browser
	annAtShop, annAtMail, bobAtShop, bobAtMail signedIn
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		shop: newRelyingParty(t, "shop"), mail: newRelyingParty(t, "mail"), annsBrowser: newBrowser(),
		bobsBrowser: newBrowser(),
	}
	w.provider = startProvider(t, []map[string]any{w.shop.registration(), w.mail.registration()},
		[]user{ann, bob})
	w.shop.discover(t, w.provider)
	w.mail.discover(t, w.provider)
	w.annAtShop = w.annsBrowser.signIn(t, w.shop, w.provider, ann)
	w.annAtMail = w.annsBrowser.signIn(t, w.mail, w.provider, ann)
	w.bobAtShop = w.bobsBrowser.signIn(t, w.shop, w.provider, bob)
	w.bobAtMail = w.bobsBrowser.signIn(t, w.mail, w.provider, bob)
	return w
}

// expectAlive checks that a sign-in's tokens work. It refreshes, which replaces the sign-in's token.
func (w *world) expectAlive(t *testing.T, who string, rp *relyingParty, login *signedIn) {
	t.Helper()
	status, answer := w.refresh(t, rp, login.token.RefreshToken)
	if status != http.StatusOK {
		t.Fatalf("%s at %s: refresh answered %d %v, want 200", who, rp.id, status, answer)
	}
	login.token.AccessToken, _ = answer["access_token"].(string)
	login.token.RefreshToken, _ = answer["refresh_token"].(string)
	if !w.active(t, rp, login.token.AccessToken) {
		t.Errorf("%s at %s: access token inactive, want active", who, rp.id)
	}
}

// expectDead checks that a sign-in's tokens are invalid.
func (w *world) expectDead(t *testing.T, who string, rp *relyingParty, login signedIn) {
	t.Helper()
	for kind, token := range map[string]string{
		"access": login.token.AccessToken, "refresh": login.token.RefreshToken,
	} {
		if w.active(t, rp, token) {
			t.Errorf("%s at %s: %s token active, want inactive", who, rp.id, kind)
		}
	}
	if status, answer := w.refresh(t, rp, login.token.RefreshToken); status != http.StatusBadRequest ||
		answer["error"] != "invalid_grant" {
		t.Errorf("%s at %s: refresh answered %d %v, want 400 invalid_grant", who, rp.id, status, answer)
	}
}

// expectSignedIn checks whether the browser is signed in, by a silent authorization.
func expectSignedIn(t *testing.T, who string, b *browser, rp *relyingParty, want bool) {
	t.Helper()
	callback := b.code(t, rp)
	if got := callback.Get("code") != ""; got != want {
		t.Errorf("%s: a silent authorization got a code: %t, want %t (error %q)", who, got, want,
			callback.Get("error"))
	}
	if !want && callback.Get("error") != "login_required" {
		t.Errorf("%s: a silent authorization answered %q, want login_required", who, callback.Get("error"))
	}
}

func (w *world) expectTold(t *testing.T, rp *relyingParty, sid string) {
	t.Helper()
	testenv.Eventually(t, rp.id+" being told", func() bool { return rp.told(t, sid) > 0 })
}

func (w *world) expectCounts(t *testing.T, answer map[string]any, want map[string]float64) {
	t.Helper()
	for name, n := range want {
		if answer[name] != n {
			t.Errorf("removal answered %s %v, want %v (all: %v)", name, answer[name], n, answer)
		}
	}
}

func TestSingleSignOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.annsBrowser.passwords != 1 {
		t.Errorf("Ann gave her password %d times for two clients, want once", w.annsBrowser.passwords)
	}
	if w.annAtShop.sid != w.annAtMail.sid || w.annAtShop.sid == w.bobAtShop.sid {
		t.Errorf("sids: Ann %s at the shop and %s at mail, want one; Bob %s, want another", w.annAtShop.sid,
			w.annAtMail.sid, w.bobAtShop.sid)
	}
	w.expectAlive(t, "Ann", w.shop, &w.annAtShop)
	w.expectAlive(t, "Bob", w.mail, &w.bobAtMail)
}

func TestQueriesFindEachSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		query url.Values
		want  []string
	}{
		"all":          {url.Values{"order": {"asc"}}, []string{w.annAtShop.sid, w.bobAtShop.sid}},
		"newest first": {url.Values{}, []string{w.bobAtShop.sid, w.annAtShop.sid}},
		"by subject":   {url.Values{"subject_id": {ann.Subject}}, []string{w.annAtShop.sid}},
		"by sid":       {url.Values{"session_id": {w.bobAtShop.sid}}, []string{w.bobAtShop.sid}},
		"by client": {
			url.Values{"client_id": {"mail"}, "order": {"asc"}}, []string{w.annAtShop.sid, w.bobAtShop.sid},
		},
		"by display name":   {url.Values{"display_name": {"NN EX"}}, []string{w.annAtShop.sid}},
		"subject and sid":   {url.Values{"subject_id": {ann.Subject}, "session_id": {w.bobAtShop.sid}}, nil},
		"an unknown client": {url.Values{"client_id": {"nobody"}}, nil},
	} {
		var got []string
		for _, s := range w.sessions(t, c.query) {
			sid, _ := s["session_id"].(string)
			got = append(got, sid)
			for _, secret := range []string{"key", "ticket", "secret"} {
				if _, shown := s[secret]; shown {
					t.Errorf("%s: the answer shows the session's %s", name, secret)
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: found %v, want %v", name, got, c.want)
		}
	}
	session := w.sessions(t, url.Values{"subject_id": {ann.Subject}})[0]
	clients, _ := session["client_ids"].([]any)
	if session["display_name"] != ann.Name || len(clients) != 2 || session["issuer"] != w.issuer ||
		session["auth_time"] == nil {
		t.Errorf("Ann's session is shown as %v", session)
	}
}

func TestRemovalEndsExactlyWhatItNames(t *testing.T) {
	t.Parallel()
	for name, selector := range map[string]func(w *world) map[string]any{
		"by subject": func(*world) map[string]any { return map[string]any{"subject_id": ann.Subject} },
		"by sid":     func(w *world) map[string]any { return map[string]any{"session_id": w.annAtShop.sid} },
		"by both": func(w *world) map[string]any {
			return map[string]any{
				"subject_id": ann.Subject, "session_id": w.annAtShop.sid, "reason": "a lost laptop",
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			body := selector(w)
			body["dry_run"] = true
			counts := map[string]float64{
				"sessions_removed": 1, "grants_revoked": 4, "consents_revoked": 2, "notifications_queued": 2,
			}
			w.expectCounts(t, w.remove(t, body), counts)
			w.expectAlive(t, "Ann after a dry run", w.shop, &w.annAtShop)
			delete(body, "dry_run")
			w.expectCounts(t, w.remove(t, body), counts)

			if found := w.sessions(t, url.Values{"subject_id": {ann.Subject}}); len(found) != 0 {
				t.Errorf("Ann's session is still there: %v", found)
			}
			expectSignedIn(t, "Ann", w.annsBrowser, w.shop, false)
			w.expectDead(t, "Ann", w.shop, w.annAtShop)
			w.expectDead(t, "Ann", w.mail, w.annAtMail)
			w.expectTold(t, w.shop, w.annAtShop.sid)
			w.expectTold(t, w.mail, w.annAtMail.sid)

			expectSignedIn(t, "Bob", w.bobsBrowser, w.mail, true)
			w.expectAlive(t, "Bob", w.shop, &w.bobAtShop)
			w.expectAlive(t, "Bob", w.mail, &w.bobAtMail)
			if w.shop.told(t, w.bobAtShop.sid)+w.mail.told(t, w.bobAtMail.sid) > 0 {
				t.Error("a client was notified of the end of Bob's session")
			}
			w.expectCounts(t, w.remove(t, body),
				map[string]float64{"sessions_removed": 0, "grants_revoked": 0, "notifications_queued": 0})
		})
	}
}

func TestEachFlagOff(t *testing.T) {
	t.Parallel()
	for flag, check := range map[string]func(t *testing.T, w *world, answer map[string]any){
		"remove_server_side_session": func(t *testing.T, w *world, answer map[string]any) {
			w.expectCounts(t, answer,
				map[string]float64{
					"sessions_removed": 0, "grants_revoked": 4, "consents_revoked": 2,
					"notifications_queued": 2,
				})
			w.expectDead(t, "Ann", w.shop, w.annAtShop)
			w.expectTold(t, w.mail, w.annAtMail.sid)
			if found := w.sessions(t, url.Values{"subject_id": {ann.Subject}}); len(found) != 1 {
				t.Errorf("Ann has %d sessions, want the one that was kept", len(found))
			}
			passwords := w.annsBrowser.passwords
			again := w.annsBrowser.signIn(t, w.shop, w.provider, ann)
			if again.sid != w.annAtShop.sid || w.annsBrowser.passwords != passwords {
				t.Errorf("signing in again asked for a password %t, sid kept %t; want the kept session",
					w.annsBrowser.passwords != passwords, again.sid == w.annAtShop.sid)
			}
			w.expectAlive(t, "Ann again", w.shop, &again)
			w.expectDead(t, "Ann's old tokens", w.shop, w.annAtShop)
		},
		"revoke_tokens": func(t *testing.T, w *world, answer map[string]any) {
			w.expectCounts(t, answer,
				map[string]float64{
					"sessions_removed": 1, "grants_revoked": 0, "consents_revoked": 2,
					"notifications_queued": 2,
				})
			expectSignedIn(t, "Ann", w.annsBrowser, w.shop, false)
			w.expectAlive(t, "Ann", w.shop, &w.annAtShop)
			w.expectTold(t, w.shop, w.annAtShop.sid)
		},
		"revoke_consents": func(t *testing.T, w *world, answer map[string]any) {
			w.expectCounts(t, answer,
				map[string]float64{
					"sessions_removed": 1, "grants_revoked": 4, "consents_revoked": 0,
					"notifications_queued": 2,
				})
			w.expectDead(t, "Ann", w.mail, w.annAtMail)
			consents := w.annsBrowser.consents
			w.annsBrowser.signIn(t, w.mail, w.provider, ann)
			if w.annsBrowser.consents != consents {
				t.Error("Ann was asked for a consent that was kept")
			}
		},
		"send_backchannel_logout_notification": func(t *testing.T, w *world, answer map[string]any) {
			w.expectCounts(t, answer,
				map[string]float64{
					"sessions_removed": 1, "grants_revoked": 4, "consents_revoked": 2,
					"notifications_queued": 0,
				})
			w.expectDead(t, "Ann", w.shop, w.annAtShop)
			_, deliveries := w.admin(t, http.MethodGet, "/logout/deliveries?session_id="+w.annAtShop.sid, nil)
			if list, _ := deliveries["results"].([]any); len(list) != 0 {
				t.Errorf("deliveries %v, want none", list)
			}
		},
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			check(t, w, w.remove(t, map[string]any{"subject_id": ann.Subject, flag: false}))
			w.expectAlive(t, "Bob", w.shop, &w.bobAtShop)
		})
	}
}

func TestNarrowedToAClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer := w.remove(t, map[string]any{"session_id": w.annAtShop.sid, "client_ids": []string{"shop"}})
	left, _ := answer["clients_left_alone"].([]any)
	if len(left) != 1 || left[0] != "mail" {
		t.Errorf("clients left alone %v, want mail", left)
	}
	w.expectCounts(t, answer,
		map[string]float64{"sessions_removed": 1, "grants_revoked": 2, "notifications_queued": 1})
	w.expectDead(t, "Ann", w.shop, w.annAtShop)
	w.expectAlive(t, "Ann", w.mail, &w.annAtMail)
	w.expectTold(t, w.shop, w.annAtShop.sid)
	if w.mail.told(t, w.annAtMail.sid) > 0 {
		t.Error("mail was notified although the removal was narrowed to the shop")
	}
}

func TestRemovalRefusesBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		body  map[string]any
		field string
	}{
		"nobody named": {map[string]any{}, "subject_id"},
		"an empty list": {
			map[string]any{"subject_id": ann.Subject, "client_ids": []string{}}, "client_ids",
		},
		"an unknown field": {map[string]any{"subject_id": ann.Subject, "revoke_token": true}, "revoke_token"},
		"an id with NUL":   {map[string]any{"subject_id": "10\x0001"}, "subject_id"},
		"an id of 10 kB":   {map[string]any{"session_id": string(make([]byte, 10<<10))}, "session_id"},
	} {
		status, problem := w.admin(t, http.MethodPost, "/sessions/remove", c.body)
		if status != http.StatusBadRequest || problem["field"] != c.field {
			t.Errorf("%s: status %d, problem %v, want 400 for %s", name, status, problem, c.field)
		}
	}
	if found := w.sessions(t, url.Values{}); len(found) != 2 {
		t.Errorf("%d sessions are left, want both", len(found))
	}
}
