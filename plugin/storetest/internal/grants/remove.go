package grants

// Removals of grants.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// owned holds grants of every kind of two subjects, with and without sessions.
type owned struct {
	session                                *ticketstore.Session
	code, access, refresh, consent, loose  grantstore.Grant
	others                                 []grantstore.Grant
	otherSession                           *ticketstore.Session
	wikiRefresh, sameClientOfAnotherPerson grantstore.Grant
}

func manyOwned(w *world.World) owned {
	w.Helper()
	o := owned{session: w.SignIn("ann"), otherSession: w.SignIn("bob")}
	o.code, o.access = w.Code(o.session, "mail"), w.Access(o.session, "mail")
	o.refresh, o.wikiRefresh = w.Refresh(o.session, "mail"), w.Refresh(o.session, "wiki")
	o.consent, o.loose = w.Consent("ann", "mail"), w.Refresh(nil, "mail", world.Of("ann"))
	o.sameClientOfAnotherPerson = w.Refresh(o.otherSession, "mail")
	o.others = []grantstore.Grant{w.Consent("bob", "wiki"), w.Access(nil, "robot")}
	for _, g := range append([]grantstore.Grant{
		o.code, o.access, o.refresh, o.wikiRefresh, o.consent, o.loose, o.sameClientOfAnotherPerson,
	}, o.others...) {
		w.Stored(g)
		w.Pass(time.Second)
	}
	return o
}

var removeCases = []world.Case{
	{Name: "each filter removes exactly its grants", Run: func(w *world.World) {
		for name, test := range map[string]struct {
			filter            func(o owned) grantstore.Filter
			gone              func(o owned) []grantstore.Grant
			grants, consented int
		}{
			"subject": {
				func(owned) grantstore.Filter { return grantstore.Filter{SubjectID: "ann"} },
				func(o owned) []grantstore.Grant {
					return []grantstore.Grant{o.code, o.access, o.refresh, o.wikiRefresh, o.consent, o.loose}
				}, 5, 1,
			},
			"session": {
				func(o owned) grantstore.Filter { return grantstore.Filter{SessionID: o.session.SessionID} },
				func(o owned) []grantstore.Grant {
					return []grantstore.Grant{o.code, o.access, o.refresh, o.wikiRefresh}
				}, 4, 0,
			},
			"client": {
				func(owned) grantstore.Filter { return grantstore.Filter{ClientID: "mail"} },
				func(o owned) []grantstore.Grant {
					return []grantstore.Grant{
						o.code, o.access, o.refresh, o.consent, o.loose, o.sameClientOfAnotherPerson,
					}
				}, 5, 1,
			},
			"type": {
				func(owned) grantstore.Filter { return grantstore.Filter{Type: grantstore.ReferenceToken} },
				func(o owned) []grantstore.Grant { return []grantstore.Grant{o.access, o.others[1]} }, 2, 0,
			},
			"subject, client and type": {
				func(owned) grantstore.Filter {
					return grantstore.Filter{
						SubjectID: "ann", ClientID: "mail", Type: grantstore.RefreshToken,
					}
				},
				func(o owned) []grantstore.Grant { return []grantstore.Grant{o.refresh, o.loose} }, 2, 0,
			},
			"consents": {
				func(owned) grantstore.Filter {
					return grantstore.Filter{SubjectID: "ann", Type: grantstore.UserConsent}
				},
				func(o owned) []grantstore.Grant { return []grantstore.Grant{o.consent} }, 0, 1,
			},
			"nothing": {
				func(owned) grantstore.Filter {
					return grantstore.Filter{SubjectID: "ann", ClientID: "robot"}
				},
				func(owned) []grantstore.Grant { return nil }, 0, 0,
			},
		} {
			w.Log(name)
			o := manyOwned(w)
			gone := test.gone(o)
			left := len(w.LiveGrants(grantstore.Filter{})) - len(gone)
			removed := w.Remove(test.filter(o))
			w.Same([]int{removed.GrantsRevoked, removed.ConsentsRevoked}, []int{test.grants, test.consented},
				"grants and consents revoked by "+name)
			w.Missing(gone...)
			w.Same(len(w.LiveGrants(grantstore.Filter{})), left, "number of live grants left by "+name)
			w.SessionLives(o.session, o.otherSession)
			w.JobDone(w.End(logout.Ending{All: true}).JobID)
			w.Remove(grantstore.Filter{ClientID: "robot"})
		}
	}},
	{Name: "more grants than one call removes are removed by a walk", Run: func(w *world.World) {
		s := w.SignIn("ann")
		n := w.Rows
		w.Each(n, func(int) error {
			_, err := w.TryApply(grantstore.Batch{
				Store: []grantstore.Grant{w.Refresh(s, "mail"), w.Refresh(s, "wiki")},
			})
			return err
		})
		removal := grantstore.Removal{Filter: grantstore.Filter{SubjectID: "ann", ClientID: "mail"}, Limit: 7}
		total := 0
		for range 10 * n {
			removal.OperationID = w.Op()
			removed, err := w.Grants.Remove(w.Ctx(), removal, w.Now)
			w.OK(err, "Remove")
			if removed.Met > removal.Limit {
				w.Fatalf("Remove matched %d grants, want at most %d", removed.Met, removal.Limit)
			}
			total += removed.GrantsRevoked
			if removal.After = removed.Next; len(removal.After) == 0 {
				break
			}
		}
		w.Same(total, n, "grants revoked")
		w.Same(len(w.LiveGrants(grantstore.Filter{})), n, "number of live grants left")
	}},
	{Name: "a repeated removal gets the same answer and removes nothing more", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for range 3 {
			w.Stored(w.Refresh(s, "mail"))
		}
		removal := grantstore.Removal{
			OperationID: w.Op(), Filter: grantstore.Filter{ClientID: "mail"}, Limit: 2,
		}
		first, err := w.Grants.Remove(w.Ctx(), removal, w.Now)
		w.OK(err, "Remove")
		w.Same(first.GrantsRevoked, 2, "grants revoked")
		again, err := w.Grants.Remove(w.Ctx(), removal, w.Now)
		w.OK(err, "the repeated Remove")
		w.Same(again, first, "the answer to the repeated removal")
		w.Same(len(w.LiveGrants(grantstore.Filter{})), 1, "number of live grants left")
	}},
	{Name: "used codes and refresh tokens stay, so that their reuse is detected", Run: func(w *world.World) {
		s := w.SignIn("ann")
		used := w.Stored(w.Refresh(s, "mail"))
		w.Consume(used, w.Refresh(s, "mail"))
		w.Same(w.Remove(grantstore.Filter{SessionID: s.SessionID}).GrantsRevoked, 1, "grants revoked")
		w.Used(used)
		w.CannotConsume(used, grantstore.ErrConsumed)
	}},
	{Name: "grants without a subject are kept", Run: func(w *world.World) {
		jti := w.Stored(w.Grant(grantstore.JTI, nil, "mail"))
		pushed := w.Stored(w.Grant(grantstore.PushedAuthorization, nil, "mail"))
		w.Remove(grantstore.Filter{ClientID: "mail"})
		w.Remove(grantstore.Filter{Type: grantstore.JTI})
		w.Live(jti, pushed)
	}},
	{Name: "grants of an expired session that has not ended are removed", Run: func(w *world.World) {
		s := w.SignIn("ann", world.Idle(time.Minute))
		w.Uses(s, "mail")
		refresh := w.Stored(w.Refresh(s, "mail", world.Offline))
		w.Pass(time.Hour)
		w.Same(w.Remove(grantstore.Filter{SubjectID: "ann"}).GrantsRevoked, 0, "live grants revoked")
		w.Sweep(logout.Sweep{KeepOffline: true})
		w.Missing(refresh)
	}},
	{Name: "a refresh that races a removal leaves nothing live", Run: func(w *world.World) {
		for range 10 {
			s := w.SignIn("ann")
			const n = 16
			old, next := make([]grantstore.Grant, n), make([]grantstore.Grant, n)
			for i := range old {
				old[i] = w.Stored(w.Refresh(s, "mail"))
				next[i] = w.Refresh(s, "mail")
			}
			errs := world.Race(n+1, func(i int) error {
				if i == n {
					_, err := w.TryRemove(grantstore.Filter{SessionID: s.SessionID})
					return err
				}
				_, err := w.TryApply(grantstore.Batch{
					Consume: &grantstore.Consumption{Ref: old[i].Ref}, Store: []grantstore.Grant{next[i]},
				})
				return err
			})
			w.OK(errs[n], "Remove")
			for i, err := range errs[:n] {
				if err != nil {
					w.Fails(err, "refresh that raced a removal", ticketstore.ErrNotFound)
				}
				w.Missing(next[i])
			}
			w.Same(len(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID})), 0, "number of live grants")
		}
	}},
	{Name: "a removal keeps grants stored after it began, and ends", Run: func(w *world.World) {
		s := w.SignIn("ann")
		var old, later []grantstore.Grant
		for range 6 {
			old = append(old, w.Stored(w.Refresh(s, "mail")))
			w.Pass(time.Millisecond)
		}
		code := w.Stored(w.Code(s, "mail"))
		removal := grantstore.Removal{
			Filter: grantstore.Filter{SessionID: s.SessionID}, Limit: 2, AsOf: w.Now,
		}
		last := old[len(old)-1]
		for met := -1; met != 0; {
			met, removal.After = 0, nil
			for first := true; first || len(removal.After) > 0; first = false {
				removal.OperationID = w.Op()
				removed, err := w.Grants.Remove(w.Ctx(), removal, w.Now)
				w.OK(err, "Remove")
				met, removal.After = met+removed.Met, removed.Next
				w.Pass(time.Second)
				later = append(later, w.Stored(w.Refresh(s, "mail")), w.Stored(w.Access(s, "mail")))
				if len(later) > 100 {
					w.Fatalf("the removal does not end while other grants are stored")
				}
				// Removed tokens have successors: refreshes race the first call.
				if len(later) == 2 {
					for range 2 {
						next := w.Refresh(s, "mail")
						w.Consume(last, next, w.Access(s, "mail"))
						last = next
						w.Pass(time.Second)
					}
					next := w.Refresh(s, "mail")
					w.Consume(code, next)
					old = append(old, next)
				}
			}
		}
		w.Missing(last, old[len(old)-1])
		w.Missing(old[:5]...)
		w.Live(later...)
		w.Same(len(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID})), len(later),
			"number of live grants")
	}},
	{Name: "a removal without a condition, or with a bad one, is refused", Run: func(w *world.World) {
		kept := w.Stored(w.Consent("ann", "mail"))
		good := func() grantstore.Removal {
			return grantstore.Removal{
				OperationID: w.Op(), Filter: grantstore.Filter{SubjectID: "ann"}, Limit: 1,
			}
		}
		for field, change := range map[string]func(r *grantstore.Removal){
			"operation_id": func(r *grantstore.Removal) { r.OperationID = "" },
			"subject_id":   func(r *grantstore.Removal) { r.Filter = grantstore.Filter{} },
			"session_id":   func(r *grantstore.Removal) { r.Filter.SessionID = "a\x00" },
			"client_id":    func(r *grantstore.Removal) { r.Filter.ClientID = "\xff" },
			"type":         func(r *grantstore.Removal) { r.Filter.Type = "token" },
			"limit":        func(r *grantstore.Removal) { r.Limit = 0 },
			"after": func(r *grantstore.Removal) {
				r.After = make([]byte,
					grantstore.MaxRemovalCursor+1)
			},
		} {
			removal := good()
			change(&removal)
			w.Refuses(world.Err(w.Grants.Remove(w.Ctx(), removal, w.Now)), field, "Remove with a bad "+field)
		}
		for _, place := range [][]byte{{0}, {0xff}, []byte("somewhere else")} {
			removal := good()
			removal.Filter, removal.After = grantstore.Filter{SubjectID: "bob"}, place
			removed, err := w.Grants.Remove(w.Ctx(), removal, w.Now)
			w.OK(err, "Remove after an unknown position")
			w.Same(removed.Met, 0, "grants met")
		}
		w.Live(kept)
	}},
}
