//go:build rp && linux

package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// Relying parties of other projects sign in at the built example server and are signed out by it.

// realWorld is a provider with relying parties. Ann is signed in with two browsers, and Bob with one.
type realWorld struct {
	*provider
	parties             []*realParty
	laptop, phone, bobs *browser
}

func newRealWorld(t *testing.T, parties ...*realParty) *realWorld {
	t.Helper()
	var clients []map[string]any
	for _, rp := range parties {
		clients = append(clients, rp.registration())
	}
	w := &realWorld{
		provider: startProvider(t, clients, []user{ann, bob}), parties: parties, laptop: newBrowser(),
		phone: newBrowser(), bobs: newBrowser(),
	}
	for _, rp := range parties {
		rp.start(t, w.issuer)
		w.signIn(t, rp, w.laptop, ann)
		w.signIn(t, rp, w.phone, ann)
		w.signIn(t, rp, w.bobs, bob)
	}
	return w
}

func (w *realWorld) signIn(t *testing.T, rp *realParty, b *browser, u user) {
	t.Helper()
	if !rp.asks(t, b, w.provider) {
		t.Fatalf("%s does not ask a new browser to sign in", rp.id)
	}
	if page := b.open(t, rp.url+"/page", w.provider,
		u); strings.TrimSpace(page) != "signed in as "+u.Subject {
		t.Fatalf("%s at %s returned:\n%.2000s", u.Username, rp.id, page)
	}
	if !rp.knows(t, b, u.Subject) {
		t.Fatalf("%s does not know %s after the sign-in", rp.id, u.Username)
	}
}

// sids returns Ann's sessions in the order of their creation: the laptop's, the phone's.
func (w *realWorld) sids(t *testing.T, subject string, want int) []string {
	t.Helper()
	var sids []string
	for _, s := range w.sessions(t, url.Values{"subject_id": {subject}, "order": {"asc"}}) {
		sid, _ := s["session_id"].(string)
		sids = append(sids, sid)
	}
	if len(sids) != want {
		t.Fatalf("%s has %d sessions, want %d", subject, len(sids), want)
	}
	return sids
}

// expectDelivered waits until a relying party has answered each notification of a session, including the
// second delivery.
func (w *realWorld) expectDelivered(t *testing.T, rp *realParty, sid string) {
	t.Helper()
	query := url.Values{"session_id": {sid}, "client_id": {rp.id}}
	testenv.Eventually(t, rp.id+" has answered the notification", func() bool {
		status, answer := w.admin(t, http.MethodGet, "/logout/deliveries?"+query.Encode(), nil)
		list, _ := answer["results"].([]any)
		if status != http.StatusOK || len(list) != 1 {
			t.Fatalf("%s: deliveries answered %d %v, want one", rp.id, status, answer)
		}
		delivery, _ := list[0].(map[string]any)
		return delivery["state"] == "delivered"
	})
}

func TestRealPartiesAreSignedOutByARemoval(t *testing.T) {
	t.Parallel()
	for name, newParty := range map[string]func(*testing.T) *realParty{
		"mod_auth_openidc": newApache, "express-openid-connect": newExpress,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rp := newParty(t)
			w := newRealWorld(t, rp)
			sid := w.sids(t, ann.Subject, 2)[0]
			answer := w.remove(t, map[string]any{"session_id": sid, "reason": "a lost laptop"})
			if answer["sessions_removed"] != 1.0 || answer["notifications_queued"] != 1.0 {
				t.Errorf("the removal answered %v, want one session removed and one notification", answer)
			}
			testenv.Eventually(t, rp.id+" ends its session", func() bool {
				return rp.asks(t, w.laptop, w.provider)
			})
			if page := w.laptop.open(t, rp.url+"/page", w.provider,
				user{}); !strings.Contains(page, `name="password"`) {
				t.Errorf("the laptop was signed in again without a password:\n%.2000s", page)
			}
			if !rp.knows(t, w.phone, ann.Subject) {
				t.Errorf("%s ended a different session of Ann's", rp.id)
			}
			if !rp.knows(t, w.bobs, bob.Subject) {
				t.Errorf("%s ended Bob's session", rp.id)
			}
			w.expectDelivered(t, rp, sid)

			w.signIn(t, rp, w.laptop, ann)
			w.remove(t, map[string]any{"subject_id": ann.Subject})
			for name, b := range map[string]*browser{"laptop": w.laptop, "phone": w.phone} {
				testenv.Eventually(t, rp.id+" ends the session of Ann's "+name, func() bool {
					return rp.asks(t, b, w.provider)
				})
			}
			if !rp.knows(t, w.bobs, bob.Subject) {
				t.Errorf("%s ended Bob's session together with Ann's", rp.id)
			}
		})
	}
}

// A sign-out at one relying party reaches the others.
func TestRealPartiesAreSignedOutByEachOther(t *testing.T) {
	t.Parallel()
	apache, express := newApache(t), newExpress(t)
	w := newRealWorld(t, apache, express)
	for _, c := range []struct {
		from, other *realParty
		b           *browser
		subject     string
	}{{express, apache, w.phone, ann.Subject}, {apache, express, w.bobs, bob.Subject}} {
		if page := c.b.open(t, c.from.url+c.from.signOut, w.provider,
			user{}); !strings.HasPrefix(page, "bye") {
			t.Fatalf("signing out at %s returned:\n%.2000s", c.from.id, page)
		}
		if !c.from.asks(t, c.b, w.provider) {
			t.Errorf("%s stays signed in after its own sign-out", c.from.id)
		}
		testenv.Eventually(t, c.other.id+" ends its session", func() bool {
			return c.other.asks(t, c.b, w.provider)
		})
	}
	for _, rp := range w.parties {
		if !rp.knows(t, w.laptop, ann.Subject) {
			t.Errorf("%s ended the session of Ann's laptop", rp.id)
		}
	}
	w.sids(t, ann.Subject, 1)
	w.sids(t, bob.Subject, 0)
}
