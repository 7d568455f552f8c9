package hostadapter_test

// Removal of a single grant by its id: which other grants are removed with it.

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func refTo(t grantstore.Type, name string) grantstore.Ref {
	return grantstore.Ref{Type: t, Key: ticketstore.KeyOf(name)}
}

// issue stores a refresh token and an access token of a family, optionally in exchange for a used refresh
// token.
func (h *host) issue(session *hostadapter.Session, family, used, name string) {
	h.t.Helper()
	h.clock.advance(time.Second)
	now := h.clock.Now()
	batch := &grantstore.Batch{OperationID: randomHex()}
	for _, kind := range []grantstore.Type{grantstore.RefreshToken, grantstore.ReferenceToken} {
		batch.Store = append(batch.Store, grantstore.Grant{
			Ref: refTo(kind, name), RequestID: family, SubjectID: session.SubjectID,
			SessionID: session.SessionID, ClientID: "app", Created: now, Expires: now.Add(time.Hour),
		})
	}
	if used != "" {
		batch.Consume = &grantstore.Consumption{Ref: refTo(grantstore.RefreshToken, used)}
	}
	if _, err := h.Backend().Grants().Apply(h.t.Context(), batch, now); err != nil {
		h.t.Errorf("issuing %s: %v", name, err)
	}
}

// removeOne removes a grant by its id, after a dry run, which must return the same counts.
func (h *host) removeOne(ref grantstore.Ref) *hostadapter.GrantRemovalResult {
	h.t.Helper()
	removal := hostadapter.GrantRemoval{ID: h.Operations().GrantID(ref), DryRun: true}
	logged := strings.Count(h.log.String(), "grants removed")
	counted, err := h.Operations().RemoveGrants(h.t.Context(), removal)
	if err != nil {
		h.t.Fatalf("a dry run: %v", err)
	}
	if strings.Count(h.log.String(), "grants removed") != logged {
		h.t.Errorf("a dry run is logged as a removal:\n%s", h.log)
	}
	removal.DryRun = false
	removed, err := h.Operations().RemoveGrants(h.t.Context(), removal)
	if err != nil || *removed != *counted {
		h.t.Fatalf("removed %+v, %v; the dry run said %+v", removed, err, counted)
	}
	return removed
}

// liveGrants returns the live grants, sorted.
func (h *host) liveGrants() (names []string) {
	h.t.Helper()
	page, err := h.Operations().QueryGrants(h.t.Context(), grantstore.Query{})
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range page.Grants {
		names = append(names, string(page.Grants[i].Type)+" "+page.Grants[i].ClientID)
	}
	slices.Sort(names)
	return names
}

// Removing a refresh token removes its family, even if the token was used after it was listed. Removing an
// access token or a consent removes nothing else.
func TestOneGrantIsRemoved(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ref              grantstore.Ref
		tokens, consents int
		left             string
	}{
		"refresh token": {
			refTo(grantstore.RefreshToken, "2"), 2, 0, "refresh_token mail, user_consent mail",
		},
		"used refresh token": {
			refTo(grantstore.RefreshToken, "1"), 2, 0, "refresh_token mail, user_consent mail",
		},
		"access token": {
			refTo(grantstore.ReferenceToken, "2"), 1, 0,
			"refresh_token app, refresh_token mail, user_consent mail",
		},
		"access token of a used refresh token": {
			refTo(grantstore.ReferenceToken, "1"), 0, 0,
			"reference_token app, refresh_token app, refresh_token mail, user_consent mail",
		},
		"consent": {
			refTo(grantstore.UserConsent, "consentannmail"), 0, 1,
			"reference_token app, refresh_token app, refresh_token mail",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
			h.grant(session, "mail")
			h.issue(session, "family", "", "1")
			h.issue(session, "family", "1", "2")
			removed := h.removeOne(test.ref)
			if removed.GrantsRevoked != test.tokens || removed.ConsentsRevoked != test.consents {
				t.Errorf("removed %+v, want %d tokens and %d consents", removed, test.tokens, test.consents)
			}
			if got := strings.Join(h.liveGrants(), ", "); got != test.left {
				t.Errorf("remaining grants: %s; want %s", got, test.left)
			}
			if again := h.removeOne(test.ref); again.GrantsRevoked+again.ConsentsRevoked != 0 {
				t.Errorf("removed again: %+v, want nothing", again)
			}
			if _, err := h.Operations().SessionByID(t.Context(), session.SessionID); err != nil {
				t.Errorf("the session: %v, want it kept", err)
			}
		})
	}
}

// A client that refreshes while an operator removes its refresh token keeps no token. If the answer of the
// removal is lost, the call is repeated and returns the counts.
func TestRefreshDuringARemovalOfOneGrant(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.issue(session, "family", "", "1")
	h.backend.before("Apply", func() {
		h.backend.before("Apply", nil)
		h.issue(session, "family", "1", "2")
		h.backend.fail("Apply", fault{err: ticketstore.ErrUnavailable, after: true})
	})
	removed, err := h.Operations().RemoveGrants(t.Context(),
		hostadapter.GrantRemoval{ID: h.Operations().GrantID(refTo(grantstore.RefreshToken, "1"))})
	if err != nil || removed.GrantsRevoked != 2 || removed.Target.SubjectID != "ann" ||
		removed.Target.SessionID != session.SessionID || removed.Target.ClientID != "app" {
		t.Errorf("removed %+v, %v; want the two tokens that replaced the first", removed, err)
	}
	if left := h.liveGrants(); len(left) != 0 {
		t.Errorf("remaining grants: %v, want none", left)
	}
}

// A grant's id is the same in every listing and does not reveal the grant's key.
func TestGrantID(t *testing.T) {
	t.Parallel()
	former := []byte("an old key of thirty-two bytes..")
	before := newHost(t, func(c *hostadapter.Config) { c.Keys = [][]byte{former} })
	after := newHost(t, func(c *hostadapter.Config) {
		c.Keys = [][]byte{[]byte("another key of thirty-two bytes!"), former}
	})
	ref, other := refTo(grantstore.RefreshToken, "1"), refTo(grantstore.ReferenceToken, "1")
	id := before.Operations().GrantID(ref)
	if id != before.Operations().GrantID(ref) || id == before.Operations().GrantID(other) ||
		id == after.Operations().GrantID(ref) {
		t.Error("a grant's id changed, or equals that of a different grant or key")
	}
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || strings.Contains(string(raw), string(ref.Key[:8])) || len(id) > 200 {
		t.Errorf("id %s, %v; want URL-safe base64 without the key", id, err)
	}
	remove := func(h *host, removal hostadapter.GrantRemoval) error {
		_, err := h.Operations().RemoveGrants(t.Context(), removal)
		return err
	}
	if err := remove(after, hostadapter.GrantRemoval{ID: id}); err != nil {
		t.Errorf("an id from before the key rotation: %v", err)
	}
	sealedOther := base64.RawURLEncoding.EncodeToString(before.seal("another purpose", nil, make([]byte, 40)))
	for name, removal := range map[string]hostadapter.GrantRemoval{
		"no base64":           {ID: "?"},
		"cut":                 {ID: id[:len(id)-4]},
		"changed":             {ID: "B" + id[1:]},
		"from another key":    {ID: after.Operations().GrantID(ref)},
		"for another purpose": {ID: sealedOther},
		"with a condition":    {ID: id, Filter: grantstore.Filter{SubjectID: "ann"}},
		"empty, in a dry run": {DryRun: true},
	} {
		err := remove(before, removal)
		var field *ticketstore.FieldError
		if !errors.As(err, &field) || (removal.ID != "" && field.Field != "id") {
			t.Errorf("%s: %v, want an error that names the field", name, err)
		}
	}
}
