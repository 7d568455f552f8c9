package hostadapter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// remember records Ann's consent to scopes for a client.
func (h *host) remember(clientID string, lifetime time.Duration, scopes ...string) {
	h.t.Helper()
	if err := h.Consents().Remember(h.t.Context(), "ann", clientID, scopes, lifetime); err != nil {
		h.t.Fatalf("Remember %v: %v", scopes, err)
	}
}

// mustCover checks whether the consent covers all of the scopes together.
func (h *host) mustCover(clientID string, want bool, scopes ...string) {
	h.t.Helper()
	given, err := h.Consents().Given(h.t.Context(), "ann", clientID, scopes)
	if err != nil || given != want {
		h.t.Errorf("Given %v to %s: got %v, %v, want %v", scopes, clientID, given, err, want)
	}
}

func TestConsentCoversASubsetOfItsScopes(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.mustCover("mail", false, "openid")
	h.mustCover("mail", false)
	h.remember("mail", 0, "openid", "email", "openid")
	for _, scopes := range [][]string{{"openid"}, {"email"}, {"email", "openid"}, {}} {
		h.mustCover("mail", true, scopes...)
	}
	h.mustCover("mail", false, "openid", "photos")
	h.mustCover("wiki", false, "openid")
	h.remember("mail", 0, "photos")
	h.mustCover("mail", true, "openid", "photos", "email")
	if given, err := h.Consents().Given(t.Context(), "bob", "mail", []string{"openid"}); given || err != nil {
		t.Errorf("Ann's consent: got %v, %v for Bob, want false", given, err)
	}
	found, err := h.Consents().Find(t.Context(), "ann", "mail")
	if err != nil || found.SubjectID != "ann" || found.ClientID != "mail" ||
		fmt.Sprint(names(found)) != "[email openid photos]" {
		t.Errorf("Find: got %+v, %v, want the three scopes in order", found, err)
	}
	for _, scope := range found.Scopes {
		if !scope.Given.Equal(h.clock.Now()) || !scope.Expires.IsZero() {
			t.Errorf("scope %+v, want it given now and for good", scope)
		}
	}
}

func names(c *hostadapter.Consent) (scopes []string) {
	for _, scope := range c.Scopes {
		scopes = append(scopes, scope.Scope)
	}
	return scopes
}

func TestConsentExpires(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.remember("mail", time.Hour, "openid", "email")
	h.remember("mail", 2*time.Hour, "photos")
	h.clock.advance(time.Hour - 1)
	h.mustCover("mail", true, "openid", "email", "photos")
	h.clock.advance(1)
	h.mustCover("mail", false, "openid")
	h.mustCover("mail", true, "photos")
	h.remember("mail", 0, "email") // what has expired does not come back with it
	h.mustCover("mail", false, "openid")
	h.remember("mail", 3*time.Hour, "photos") // again
	h.clock.advance(2 * time.Hour)
	h.mustCover("mail", true, "email", "photos")
	h.clock.advance(time.Hour)
	h.mustCover("mail", false, "photos")
	h.mustCover("mail", true, "email")

	h.remember("wiki", time.Hour, "openid")
	h.clock.advance(time.Hour)
	if _, err := h.Consents().Find(t.Context(), "ann", "wiki"); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("Find after the last scope expired: got %v, want ticketstore.ErrNotFound", err)
	}
	h.remember("wiki", time.Hour, "openid")
	h.mustCover("wiki", true, "openid")
}

func TestConsentIsRevoked(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.remember("mail", 0, "openid")
	h.remember("wiki", 0, "openid")
	for range 2 {
		if err := h.Consents().Revoke(t.Context(), "ann", "mail"); err != nil {
			t.Fatalf("Revoke: %v", err)
		}
		h.mustCover("mail", false, "openid")
		h.mustCover("wiki", true, "openid")
	}
}

func TestRemovalRevokesConsents(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.remember("mail", 0, "openid", "email")
	h.remember("mail", time.Hour, "photos")
	h.remember("wiki", 0, "openid")
	ctx := t.Context()
	kept, err := h.RemoveSessions(ctx, hostadapter.SessionRemoval{SubjectID: "ann", KeepConsents: true})
	if err != nil || kept.ConsentsRevoked != 0 {
		t.Errorf("a removal that keeps consents revoked %+v, %v", kept, err)
	}
	h.mustCover("mail", true, "openid", "email", "photos")
	some, err := h.RemoveSessions(ctx,
		hostadapter.SessionRemoval{SubjectID: "ann", ClientIDs: []string{"mail"}})
	if err != nil || some.ConsentsRevoked != 1 {
		t.Errorf("a removal for one client revoked %+v, %v, want one consent", some, err)
	}
	h.mustCover("mail", false, "openid")
	h.mustCover("wiki", true, "openid")
	// By a session, those to its clients go.
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	h.use(session.SessionID, "mail")
	h.remember("mail", 0, "openid")
	one, err := h.RemoveSessions(ctx, hostadapter.SessionRemoval{SessionID: session.SessionID})
	if err != nil || one.ConsentsRevoked != 1 {
		t.Errorf("a removal of a session revoked %+v, %v, want one consent", one, err)
	}
	h.mustCover("mail", false, "openid")
	h.mustCover("wiki", true, "openid")
}

func TestConsentsOfAUserAreListed(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	list := func() (text []string) {
		consents, err := h.Consents().List(t.Context(), "ann")
		if err != nil {
			t.Fatalf("List: %v", err)
		}
		for i := range consents {
			text = append(text, consents[i].ClientID+" "+strings.Join(names(&consents[i]), "+"))
		}
		return text
	}
	if got := list(); len(got) != 0 {
		t.Errorf("before any consent: %v", got)
	}
	h.remember("mail", 0, "openid")
	h.clock.advance(time.Second)
	h.remember("wiki", time.Hour, "openid", "email")
	h.clock.advance(time.Second)
	h.remember("chat", time.Minute, "openid")
	if err := h.Consents().Remember(t.Context(), "bob", "mail", []string{"photos"}, 0); err != nil {
		t.Fatal(err)
	}
	want := []string{"mail openid", "wiki email+openid", "chat openid"}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	h.clock.advance(time.Minute)
	h.remember("mail", 0, "photos")
	if got, want := list(), []string{"wiki email+openid", "mail openid+photos"}; !slices.Equal(got, want) {
		t.Errorf("later: got %v, want %v", got, want)
	}
}

// Of many consents remembered concurrently, by several hosts, none is lost.
func TestConcurrentConsentsAreMerged(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	other, err := hostadapter.New(t.Context(), h.config)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	const n = 24
	all := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		all[i] = fmt.Sprintf("scope-%02d", i)
		consents := []*hostadapter.Consents{h.Consents(), other.Consents()}[i%2]
		wg.Go(func() {
			if err := consents.Remember(t.Context(), "ann", "mail", all[i:i+1], 0); err != nil {
				t.Errorf("Remember: %v", err)
			}
		})
	}
	wg.Wait()
	found, err := h.Consents().Find(t.Context(), "ann", "mail")
	if err != nil || !slices.Equal(names(found), all) {
		t.Errorf("got %+v, %v, want all %d scopes", found, err, n)
	}
}

// A consent that is revoked while more is being remembered stays revoked.
func TestRememberAfterConcurrentRevocation(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.remember("mail", 0, "openid")
	h.backend.before("Apply", func() {
		h.backend.before("Apply", nil)
		if err := h.Consents().Revoke(t.Context(), "ann", "mail"); err != nil {
			t.Errorf("Revoke: %v", err)
		}
	})
	h.remember("mail", 0, "email")
	h.mustCover("mail", true, "email")
	h.mustCover("mail", false, "openid")
}

// Remembering a known scope updates when the user last agreed, which a request with prompt=consent needs.
func TestRememberUpdatesTheTimeOfConsent(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.remember("mail", 0, "openid", "email")
	first := h.clock.Now()
	h.clock.advance(time.Hour)
	h.remember("mail", 0, "email")
	found, err := h.Consents().Find(t.Context(), "ann", "mail")
	if err != nil || len(found.Scopes) != 2 || found.Scopes[0].Given.Sub(first) != time.Hour ||
		!found.Scopes[1].Given.Equal(first) {
		t.Errorf("got %+v, %v; want email given an hour after openid", found, err)
	}
	before := h.backend.count("Apply")
	h.remember("mail", 0)
	if got := h.backend.count("Apply"); got != before {
		t.Errorf("%d writes for no scope, want none", got-before)
	}
}

func TestConsentsDuringAnOutage(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ctx, consents := t.Context(), h.Consents()
	h.backend.fail("Apply", fault{ticketstore.ErrUnavailable, true}, fault{context.DeadlineExceeded, false})
	h.remember("mail", 0, "openid") // an answer that was lost is asked for again
	h.mustCover("mail", true, "openid")
	down := slices.Repeat([]fault{{err: ticketstore.ErrUnavailable}}, 20)
	for method, call := range map[string]func() error{
		"Apply": func() error { return consents.Remember(ctx, "ann", "mail", []string{"email"}, 0) },
		"GetGrant": func() error {
			given, err := consents.Given(ctx, "ann", "mail", []string{"openid"})
			if given {
				t.Error("a consent that cannot be read was taken for given")
			}
			return err
		},
		"QueryGrants": func() error { _, err := consents.List(ctx, "ann"); return err },
	} {
		h.backend.fail(method, down...)
		if err := call(); !errors.Is(err, ticketstore.ErrUnavailable) {
			t.Errorf("%s fails: got %v, want ticketstore.ErrUnavailable", method, err)
		}
		h.backend.fail(method)
	}
	h.backend.fail("Apply", down...)
	if err := consents.Revoke(ctx, "ann", "mail"); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("Revoke: got %v, want ticketstore.ErrUnavailable", err)
	}
	h.backend.fail("Apply")
	h.mustCover("mail", true, "openid")
	h.mustCover("mail", false, "email")
}

// A revocation that has removed the consent removes the tokens too, although a call fails once or the browser
// disconnects: the user's page no longer lists the client.
func TestConsentRevocationIsCompleted(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(h *host, cancel context.CancelFunc){
		"a read fails": func(h *host, _ context.CancelFunc) {
			h.backend.fail("QueryGrants", fault{err: ticketstore.ErrUnavailable})
		},
		"a write fails": func(h *host, _ context.CancelFunc) {
			h.backend.fail("RemoveGrants", fault{err: ticketstore.ErrUnavailable})
		},
		"the browser disconnects": func(h *host, cancel context.CancelFunc) {
			h.backend.before("QueryGrants", cancel)
		},
		"the browser disconnects later": func(h *host, cancel context.CancelFunc) {
			h.backend.before("RemoveGrants", cancel)
		},
		"the deadline passes": func(h *host, cancel context.CancelFunc) {
			h.backend.before("QueryGrants", cancel)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.grant(h.browser().signIn(hostadapter.Identity{Subject: "ann"}), "mail")
			h.remember("mail", 0, "openid")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "the deadline passes" {
				ctx = expiring{ctx}
			}
			disturb(h, cancel)
			if err := h.Consents().Revoke(ctx, "ann", "mail"); err != nil {
				t.Errorf("Revoke: %v", err)
			}
			page, err := h.Operations().QueryGrants(t.Context(),
				grantstore.Query{Filter: grantstore.Filter{SubjectID: "ann"}})
			if err != nil || len(page.Grants) != 0 {
				t.Errorf("want no consent and no token left, got %+v, %v", page, err)
			}
		})
	}
}

// expiring is a context whose deadline passes when it is canceled.
type expiring struct{ context.Context }

func (e expiring) Deadline() (deadline time.Time, ok bool) {
	if e.Err() == nil {
		return time.Time{}, false
	}
	return time.Now().Add(-time.Second), true
}

func TestConsentThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.remember("mail", 0, "openid")
	h.config.Keys, h.config.KeysLost = [][]byte{[]byte(strings.Repeat("n", 32))}, true
	h.start()
	ctx, consents := t.Context(), h.Consents()
	given, err := consents.Given(ctx, "ann", "mail", []string{"openid"})
	if given || err != nil {
		t.Errorf("Given: got %v, %v, want the user to be asked again", given, err)
	}
	if list, err := consents.List(ctx, "ann"); err != nil || len(list) != 0 {
		t.Errorf("List: got %v, %v, want none", list, err)
	}
	if err := consents.Remember(ctx, "ann", "mail", []string{"email"}, 0); err != nil {
		t.Errorf("Remember: %v, want the answer in the place of what cannot be opened", err)
	}
	h.mustCover("mail", true, "email")
	h.mustCover("mail", false, "openid")
	if err := consents.Revoke(ctx, "ann", "mail"); err != nil {
		t.Errorf("Revoke: %v, want it revoked nevertheless", err)
	}
	h.mustCover("mail", false, "openid")
}

func TestConsentErrors(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	ctx, consents, long := t.Context(), h.Consents(), strings.Repeat("x", ticketstore.MaxID+1)
	remember := func(subject, client string, lifetime time.Duration, scopes ...string) error {
		return consents.Remember(ctx, subject, client, scopes, lifetime)
	}
	many := make([]string, hostadapter.MaxScopes+1)
	for i := range many {
		many[i] = fmt.Sprint("scope-", i)
	}
	if err := remember("eve", "mail", 0, many[1:]...); err != nil {
		t.Errorf("as many scopes as there may be: %v", err)
	}
	for name, test := range map[string]struct {
		err   error
		field string
	}{
		"no subject":               {remember("", "mail", 0, "openid"), "subject_id"},
		"a subject with a NUL":     {remember("a\x00", "mail", 0, "openid"), "subject_id"},
		"a client of 513 bytes":    {remember("ann", long, 0, "openid"), "client_id"},
		"a scope of 513 bytes":     {remember("ann", "mail", 0, "openid", long), "scopes"},
		"a scope not UTF-8":        {remember("ann", "mail", 0, "\xff"), "scopes"},
		"an empty scope":           {remember("ann", "mail", 0, ""), "scopes"},
		"too many scopes":          {remember("ann", "mail", 0, many...), "scopes"},
		"too many scopes together": {remember("eve", "mail", 0, many[0]), "scopes"},
		"a negative lifetime":      {remember("ann", "mail", -1, "openid"), "lifetime"},
		"Given without a client":   {second(consents.Given(ctx, "ann", "", nil)), "client_id"},
		"Find without a subject":   {second(consents.Find(ctx, "", "mail")), "subject_id"},
		"List without a subject":   {second(consents.List(ctx, "")), "subject_id"},
		"Revoke without a client":  {consents.Revoke(ctx, "ann", ""), "client_id"},
	} {
		var wrong *ticketstore.FieldError
		if !errors.As(test.err, &wrong) || wrong.Field != test.field {
			t.Errorf("%s: got %v, want an error that names %s", name, test.err, test.field)
		}
	}
	page, err := h.Backend().Grants().Query(ctx,
		grantstore.Query{Filter: grantstore.Filter{SubjectID: "ann"}}, h.clock.Now())
	if err != nil || len(page.Grants) != 0 {
		t.Errorf("after refusals there are %v, %v, want nothing stored", page, err)
	}
}

func second[T any](_ T, err error) error { return err }
