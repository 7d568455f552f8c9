package grants

// Authorization codes and their exchange.

import (
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// authorized holds the grants that an authorize response stores.
type authorized struct {
	code, openID, pkce grantstore.Grant
}

// authorize stores a code for the client mail with its OpenID and PKCE rows, and the use of the session.
func authorize(w *world.World, s *ticketstore.Session, options ...world.GrantOption) authorized {
	w.Helper()
	options = append([]world.GrantOption{world.Family(w.Name("family"))}, options...)
	a := authorized{
		code:   w.Code(s, "mail", options...),
		openID: w.Grant(grantstore.OpenIDRequest, s, "mail", options...),
		pkce:   w.Grant(grantstore.PKCERequest, s, "mail", options...),
	}
	batch := grantstore.Batch{Store: []grantstore.Grant{a.code, a.openID, a.pkce}}
	if s != nil {
		batch.Use = &grantstore.Use{SessionID: s.SessionID, ClientID: "mail", Notify: true}
	}
	w.Apply(batch)
	return a
}

// exchange uses the code for an access token and a refresh token without owners: the store copies the code's
// owners.
func exchange(w *world.World, code grantstore.Grant) (access, refresh grantstore.Grant) {
	w.Helper()
	access, refresh = w.Access(nil, ""), w.Refresh(nil, "")
	w.Consume(code, access, refresh)
	return access, refresh
}

var codeCases = []world.Case{
	{Name: "a code is returned with the OpenID and PKCE rows of its family", Run: func(w *world.World) {
		s := w.SignIn("ann")
		a := authorize(w, s)
		authorize(w, s)
		w.Stored(w.Access(s, "mail", world.Family(a.code.RequestID)))
		found, err := w.GrantErr(a.code)
		w.OK(err, "Get the code")
		w.Same(found.Grant, a.code, "the code")
		slices.SortFunc(found.Related, func(x, y grantstore.Grant) int {
			return strings.Compare(string(x.Type), string(y.Type))
		})
		w.Same(found.Related, []grantstore.Grant{a.openID, a.pkce}, "grants returned with the code")
		w.Live(a.openID, a.pkce)
	}},
	{Name: "only codes are returned with related rows", Run: func(w *world.World) {
		a := authorize(w, w.SignIn("ann"))
		found, err := w.GrantErr(a.openID)
		w.OK(err, "Get the OpenID row")
		w.Same(found.Related, []grantstore.Grant{}, "grants returned with the OpenID row")
	}},
	{Name: "a code without family is returned alone", Run: func(w *world.World) {
		code := w.Code(nil, "mail", world.Family(""))
		openID := w.Grant(grantstore.OpenIDRequest, nil, "wiki", world.Family(""))
		w.Apply(grantstore.Batch{Store: []grantstore.Grant{code, openID}})
		found, err := w.GrantErr(code)
		w.OK(err, "Get the code")
		w.Same(found.Related, []grantstore.Grant{}, "grants returned with a code without family")
		w.Consume(code)
		w.Live(openID)
		w.CannotConsume(code, grantstore.ErrConsumed)
		w.Live(openID)
	}},
	{Name: "a used code is read as used, and its related rows are gone", Run: func(w *world.World) {
		a := authorize(w, w.SignIn("ann"))
		w.Pass(time.Second)
		access, refresh := exchange(w, a.code)
		found, err := w.GrantErr(a.code)
		w.Fails(err, "Get the used code", grantstore.ErrConsumed)
		w.Same(found.Grant, small(a.code, w.Now), "the used code")
		w.Same(found.Related, []grantstore.Grant{}, "grants returned with a used code")
		w.Missing(a.openID, a.pkce)
		w.Live(access, refresh)
	}},
	{Name: "grants stored for a code are bound like the code", Run: func(w *world.World) {
		ann, bob := w.SignIn("ann"), w.SignIn("bob")
		a := authorize(w, ann, world.Offline)
		access, refresh := w.Access(bob, "wiki"), w.Refresh(nil, "", world.Family(""))
		w.Consume(a.code, access, refresh)
		for _, g := range []grantstore.Grant{access, refresh} {
			found, err := w.GrantErr(g)
			w.OK(err, "Get the "+string(g.Type))
			want := g
			want.RequestID, want.SubjectID, want.SessionID = a.code.RequestID, a.code.SubjectID,
				a.code.SessionID
			want.ClientID, want.Offline = a.code.ClientID, true
			w.Same(found.Grant, want, "the "+string(g.Type))
		}
		w.Same(len(w.LiveGrants(grantstore.Filter{SubjectID: "bob"})), 0, "number of bob's grants")
		w.Same(len(w.LiveGrants(grantstore.Filter{SessionID: ann.SessionID})), 2,
			"number of grants in ann's session")
	}},
	{Name: "grants that name their code's session and family are accepted", Run: func(w *world.World) {
		s := w.SignIn("ann")
		a := authorize(w, s)
		next := func(used grantstore.Grant) (access, refresh grantstore.Grant) {
			family := world.Family(a.code.RequestID)
			access, refresh = w.Access(s, "mail", family), w.Refresh(s, "mail", family)
			w.Consume(used, access, refresh)
			return access, refresh
		}
		access1, refresh1 := next(a.code)
		w.Missing(a.openID, a.pkce)
		access2, refresh2 := next(refresh1)
		w.Missing(access1)
		w.Live(access2, refresh2)
		w.CannotConsume(refresh1, grantstore.ErrConsumed)
		w.Missing(access2, refresh2)
	}},
	{Name: "offline is copied from the code, also if it is false", Run: func(w *world.World) {
		a := authorize(w, w.SignIn("ann"))
		refresh := w.Refresh(nil, "", world.Offline)
		w.Consume(a.code, refresh)
		found, err := w.GrantErr(refresh)
		w.OK(err, "Get the refresh token")
		w.Same(found.Grant.Offline, false, "Offline of a refresh token whose code was not offline")
	}},
	{Name: "a second use of a code is refused and revokes its family", Run: func(w *world.World) {
		s := w.SignIn("ann")
		a, other := authorize(w, s), authorize(w, s)
		access, refresh := exchange(w, a.code)
		otherAccess, otherRefresh := exchange(w, other.code)
		late := w.Access(nil, "mail")
		_, err := w.TryApply(grantstore.Batch{
			Consume: &grantstore.Consumption{Ref: a.code.Ref}, Store: []grantstore.Grant{late},
		})
		w.Fails(err, "Apply with a used code", grantstore.ErrConsumed)
		w.Missing(access, refresh, late)
		w.Live(otherAccess, otherRefresh)
		w.CannotConsume(refresh, ticketstore.ErrNotFound)
	}},
	{Name: "a second use revokes the tokens of later rotations", Run: func(w *world.World) {
		a := authorize(w, w.SignIn("ann"))
		_, refresh := exchange(w, a.code)
		access2, refresh2 := exchange(w, refresh)
		w.Live(access2, refresh2)
		w.CannotConsume(a.code, grantstore.ErrConsumed)
		w.Missing(access2, refresh2)
	}},
	{Name: "a third use of a code is refused like the second", Run: func(w *world.World) {
		a := authorize(w, w.SignIn("ann"))
		exchange(w, a.code)
		w.CannotConsume(a.code, grantstore.ErrConsumed)
		w.CannotConsume(a.code, grantstore.ErrConsumed)
		w.Used(a.code)
	}},
	{Name: "no grace lets a code be used again", Run: func(w *world.World) {
		a := authorize(w, w.SignIn("ann"))
		access, refresh, err := withGrace(w, a.code, time.Hour)
		w.OK(err, "the first use, with a grace")
		_, _, err = withGrace(w, a.code, time.Hour)
		w.Fails(err, "Apply with a used code and grace", grantstore.ErrConsumed)
		w.Missing(access, refresh)
	}},
	{Name: "a code without session can be exchanged", Run: func(w *world.World) {
		a := authorize(w, nil, world.Of("ann"))
		access, refresh := exchange(w, a.code)
		w.Live(access, refresh)
		found, err := w.GrantErr(refresh)
		w.OK(err, "Get the refresh token")
		w.Same([]string{found.Grant.SubjectID, found.Grant.SessionID, found.Grant.ClientID},
			[]string{"ann", "", "mail"}, "owners of the token")
		w.CannotConsume(a.code, grantstore.ErrConsumed)
		w.Missing(access, refresh)
	}},
	{Name: "a missing or expired code is not found", Run: func(w *world.World) {
		w.CannotConsume(w.Code(nil, "mail"), ticketstore.ErrNotFound)
		code := w.Stored(w.Code(w.SignIn("ann"), "mail", world.Lasting(time.Minute)))
		w.Pass(time.Minute)
		w.Missing(code)
		w.CannotConsume(code, ticketstore.ErrNotFound)
	}},
}
