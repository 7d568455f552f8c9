package grants

// Listings of grants stored, used and removed together.

import (
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// issue stores an access token and a refresh token of a family in one batch, at the same time.
func issue(w *world.World, s *ticketstore.Session) (access, refresh grantstore.Grant) {
	w.Helper()
	family := world.Family(w.Name("family"))
	access, refresh = w.Access(s, "mail", family), w.Refresh(s, "mail", family)
	w.Apply(grantstore.Batch{Store: []grantstore.Grant{access, refresh}})
	return access, refresh
}

// listedBy checks that each filter that matches the grants of ann's session with the client mail lists each
// of them once.
func listedBy(w *world.World, s *ticketstore.Session, when string, want ...grantstore.Grant) {
	w.Helper()
	all := descriptions(want)
	slices.Sort(all)
	for name, filter := range map[string]grantstore.Filter{
		"none": {}, "subject": {SubjectID: "ann"}, "client": {ClientID: "mail"},
		"session": {SessionID: s.SessionID}, "subject and client": {SubjectID: "ann", ClientID: "mail"},
	} {
		got := descriptions(w.LiveGrants(filter))
		slices.Sort(got)
		w.Same(got, all, "grants "+when+", by "+name)
	}
	for _, g := range want {
		got := w.LiveGrants(grantstore.Filter{SubjectID: "ann", Type: g.Type})
		w.Same(slices.Contains(descriptions(got), g.Description), true, "listed by its type "+when)
	}
}

var togetherCases = []world.Case{
	{Name: "each is listed by itself, in the order of creation", Run: func(w *world.World) {
		s := w.SignIn("ann")
		var want []grantstore.Grant
		for i := range 5 {
			a := authorize(w, s)
			access, refresh := issue(w, s)
			want = append(want, a.code, a.openID, a.pkce, access, refresh)
			if i%2 == 0 { // some have the same time
				w.Pass(time.Nanosecond)
			}
		}
		listedBy(w, s, "stored together", want...)
		for _, filter := range []grantstore.Filter{
			{}, {SubjectID: "ann"}, {SessionID: s.SessionID}, {ClientID: "mail"},
			{SubjectID: "ann", Type: grantstore.ReferenceToken},
		} {
			found := w.LiveGrants(filter)
			w.Same(slices.IsSortedFunc(found, func(a, b grantstore.Grant) int {
				return a.Created.Compare(b.Created)
			}), true, "listed in the order of creation")
			w.CheckPaging(listing(w, filter), descriptions(found))
		}
	}},
	{Name: "the remaining grant is listed, whichever is removed first", Run: func(w *world.World) {
		for name, drop := range map[string]func(g grantstore.Grant){
			"deleted": func(g grantstore.Grant) {
				w.Apply(grantstore.Batch{Delete: []grantstore.Ref{g.Ref}})
			},
			"revoked": func(g grantstore.Grant) {
				w.Apply(grantstore.Batch{Revoke: []grantstore.Revocation{
					{RequestID: g.RequestID, Types: []grantstore.Type{g.Type}},
				}})
			},
			"removed": func(g grantstore.Grant) {
				w.Remove(grantstore.Filter{SubjectID: "ann", Type: g.Type})
			},
		} {
			s := w.SignIn("ann")
			a := authorize(w, s)
			access, refresh := issue(w, s)
			left := []grantstore.Grant{a.code, a.openID, a.pkce, access, refresh}
			for _, first := range []grantstore.Grant{refresh, a.code, a.openID, access, a.pkce} {
				drop(first)
				left = slices.DeleteFunc(left,
					func(g grantstore.Grant) bool { return g.Ref == first.Ref })
				listedBy(w, s, "once the "+string(first.Type)+" was "+name, left...)
			}
			access, refresh = issue(w, s)
			a = authorize(w, s)
			for _, last := range []grantstore.Grant{access, refresh, a.pkce, a.openID, a.code} {
				drop(last)
			}
			listedBy(w, s, "once all were "+name)
		}
	}},
	{Name: "the remaining grant is listed when its companion has expired", Run: func(w *world.World) {
		s := w.SignIn("ann")
		family := world.Family(w.Name("family"))
		access := w.Access(s, "mail", family, world.Lasting(30*time.Minute))
		w.Apply(grantstore.Batch{Store: []grantstore.Grant{
			w.Refresh(s, "mail", family, world.Lasting(time.Minute)), access,
		}})
		w.Pass(2 * time.Minute)
		listedBy(w, s, "past the expiry", access)
		w.PurgeGrants()
		listedBy(w, s, "after the purge", access)
		w.Remove(grantstore.Filter{ClientID: "mail"})
		listedBy(w, s, "after a removal")
	}},
	{Name: "grants of several batches are listed", Run: func(w *world.World) {
		s := w.SignIn("ann")
		family := world.Family(w.Name("family"))
		openID := w.Stored(w.Grant(grantstore.OpenIDRequest, s, "mail", family))
		code := w.Stored(w.Code(s, "mail", family))
		other := w.Stored(w.Code(s, "mail", family))
		pkce := w.Stored(w.Grant(grantstore.PKCERequest, s, "mail", family))
		listedBy(w, s, "stored one by one", openID, code, other, pkce)
		w.Apply(grantstore.Batch{Delete: []grantstore.Ref{code.Ref}})
		listedBy(w, s, "without one of two codes", openID, other, pkce)
		access, refresh := exchange(w, other)
		listedBy(w, s, "after the exchange", access, refresh)
		nextAccess, next := w.Access(nil, ""), w.Refresh(nil, "")
		w.Consume(refresh, nextAccess, next)
		listedBy(w, s, "after a refresh", nextAccess, next)
		w.Dead(access)
	}},
	{Name: "grants that a grace keeps live are listed", Run: func(w *world.World) {
		s := w.SignIn("ann")
		access, refresh := issue(w, s)
		w.Live(access)
		var want []grantstore.Grant
		for range 3 {
			next, nextAccess := w.Refresh(nil, ""), w.Access(nil, "")
			w.Apply(grantstore.Batch{
				Consume: &grantstore.Consumption{Ref: refresh.Ref, Grace: time.Minute},
				Store:   []grantstore.Grant{next, nextAccess},
			})
			want = append(want, next, nextAccess)
		}
		listedBy(w, s, "used three times", want...)
		w.CannotConsume(refresh, grantstore.ErrConsumed)
		listedBy(w, s, "after one use too many")
	}},
}
