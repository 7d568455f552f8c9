package endings

// Clients whose registration changed after their last use of a session.

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ways are the ways to end a session, given the current registrations of its clients.
var ways = map[string]func(w *world.World, s *ticketstore.Session, now ticketstore.Registrations){
	"by sid": func(w *world.World, s *ticketstore.Session, now ticketstore.Registrations) {
		w.End(logout.Ending{
			SessionID: s.SessionID, Reason: logout.UserLogout, KeepOffline: true, Registered: now,
		})
	},
	"by subject": func(w *world.World, s *ticketstore.Session, now ticketstore.Registrations) {
		w.End(logout.Ending{SubjectID: s.SubjectID, KeepOffline: true, Registered: now})
	},
	"by a job of all": func(w *world.World, _ *ticketstore.Session, now ticketstore.Registrations) {
		w.JobDone(w.End(logout.Ending{All: true, KeepOffline: true, Registered: now}).JobID)
	},
	"by a sweep": func(w *world.World, s *ticketstore.Session, now ticketstore.Registrations) {
		w.Now = s.Expires
		w.Same(w.SweepOnce(logout.Sweep{Limit: 10, KeepOffline: true, Registered: now}).Ended, 1, "ended")
	},
	"by a sign-in": func(w *world.World, s *ticketstore.Session, now ticketstore.Registrations) {
		ended, err := w.Tickets.CreateWithin(w.Ctx(), w.Session(s.SubjectID), ticketstore.Limit{
			Max: 1, EndOldest: true, KeepOffline: true, Registered: now,
		}, w.Now)
		w.OK(err, "CreateWithin")
		w.Same(ended, []string{s.SessionID}, "sids ended by the limit")
	},
}

// nothingRegistered are registrations without a logout URI.
func nothingRegistered(ids ...string) ticketstore.Registrations {
	registered := ticketstore.Registrations{}
	for _, id := range ids {
		registered[id] = &ticketstore.Registration{}
	}
	return registered
}

var registeredCases = []world.Case{
	{Name: "the current registration of a client applies", Run: func(w *world.World) {
		notified := ticketstore.Registration{Notify: true}
		coordinated := ticketstore.Registration{Notify: true, Coordinated: true}
		muted := ticketstore.Registration{Notify: true, Muted: ticketstore.EndByAny}
		now := ticketstore.Registrations{
			"added": &notified, "removed": {}, "muted": &muted, "no longer muted": &notified,
			"coordinates": &coordinated, "no longer coordinates": &notified, "gone": nil,
		}
		before := map[string]ticketstore.Registration{
			"added": {}, "removed": notified, "muted": notified, "no longer muted": muted,
			"coordinates": notified, "no longer coordinates": coordinated, "gone": notified,
			"not named": notified,
		}
		for _, way := range slices.Sorted(maps.Keys(ways)) {
			s := w.SignIn(w.Name("ann"))
			tokens := map[string]grantstore.Grant{}
			for client, r := range before {
				w.Apply(grantstore.Batch{Use: &grantstore.Use{
					SessionID: s.SessionID, ClientID: client, Notify: r.Notify, Coordinated: r.Coordinated,
					Muted: r.Muted,
				}})
				tokens[client] = w.Stored(w.Refresh(s, client, world.Offline))
			}
			ways[way](w, s, now)
			w.SessionGone(s)
			w.Same(w.Notified(s), []string{
				"added", "coordinates", "gone", "no longer coordinates", "no longer muted", "not named",
			}, "clients notified of an end "+way)
			for client, token := range tokens {
				if client == "coordinates" {
					w.Dead(token)
				} else {
					w.Live(token)
				}
			}
			w.End(logout.Ending{SubjectID: s.SubjectID})
		}
	}},
	{Name: "an ending that asks for registrations changes nothing", Run: func(w *world.World) {
		for name, ending := range map[string]logout.Ending{
			"sid": {SessionID: "SID"}, "subject": {}, "all": {All: true}, "dry run": {DryRun: true},
			"dry run of all": {All: true, DryRun: true},
		} {
			s := w.SignIn(w.Name("ann"))
			w.Uses(s, "wiki", "mail")
			ending.OperationID, ending.AskRegistered = w.Op(), true
			switch {
			case ending.SessionID != "":
				ending.SessionID = s.SessionID
			case !ending.All:
				ending.SubjectID = s.SubjectID
			}
			asked := logout.Result{MissingClients: []string{"mail", "wiki"}}
			w.Same(w.End(ending), asked, "the answer to an ending by "+name)
			ending.Registered = nothingRegistered("mail")
			w.Same(w.End(ending), asked, "the answer to an ending with one of the registrations")
			w.SessionLives(s)
			w.Same(w.Notified(s), []string{}, "clients notified")
			ending.Registered = nothingRegistered("mail", "wiki")
			done := w.End(ending)
			w.Same(done.MissingClients, []string{}, "clients asked for by "+name)
			w.Same(done.NotificationsQueued, 0, "notifications queued")
			if ending.DryRun {
				w.SessionLives(s)
				w.End(logout.Ending{SessionID: s.SessionID})
				continue
			}
			if done.JobID != "" {
				w.JobDone(done.JobID)
			}
			w.SessionGone(s)
			if !ending.All {
				w.Uses(w.SignIn(s.SubjectID), "new")
				w.Same(w.End(ending), done, "the answer to the same operation")
			}
			w.End(logout.Ending{SubjectID: s.SubjectID})
		}
	}},
	{Name: "an ending of a session without clients asks for none", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(w.SignIn("bob"), "mail")
		w.Same(w.End(logout.Ending{SessionID: s.SessionID, AskRegistered: true}).SessionsRemoved, 1,
			"sessions removed")
		w.Same(w.End(logout.Ending{SessionID: "none", AskRegistered: true}), logout.Result{}, "of none")
	}},
	{Name: "a sweep skips sessions until it has their clients' registrations", Run: func(w *world.World) {
		first := w.SignIn("ann")
		w.Uses(first, "mail", "wiki")
		w.Pass(time.Minute)
		second, slid := w.SignIn("bob"), w.SignIn("carl")
		w.Uses(second, "chat", "mail")
		w.Uses(slid, "tv")
		none := w.SignIn("dora")
		w.Now = second.Expires.Add(-time.Minute)
		w.Renew(slid, time.Hour)
		w.Now = second.Expires
		sweep := logout.Sweep{Limit: 10, AskRegistered: true, Registered: nothingRegistered("mail")}
		swept := w.SweepOnce(sweep)
		w.Same(world.SIDsOf(swept.Sessions), []string{none.SessionID}, "sids ended")
		w.Same(swept.MissingClients, []string{"chat", "mail", "wiki"}, "clients asked for")
		w.Same(swept.Next.After(w.Now), false, "whether nothing is due")
		sweep.Registered = nothingRegistered("mail", "wiki")
		swept = w.SweepOnce(sweep)
		w.Same(world.SIDsOf(swept.Sessions), []string{first.SessionID}, "sids ended")
		w.Same(swept.MissingClients, []string{"chat", "mail"}, "clients asked for")
		sweep.Registered = ticketstore.Registrations{"chat": {Notify: true}, "mail": nil}
		swept = w.SweepOnce(sweep)
		w.Same(world.SIDsOf(swept.Sessions), []string{second.SessionID}, "sids ended")
		w.Same(swept.MissingClients, []string{}, "clients asked for")
		w.Same(w.Notified(first), []string{}, "clients notified of the first")
		w.Same(w.Notified(second), []string{"chat", "mail"}, "clients notified of the second")
		w.SessionLives(slid)
	}},
	{Name: "a sweep asks for a bounded number of clients, and ends", Run: func(w *world.World) {
		const sessions, each = 5, 220
		due := make([]*ticketstore.Session, sessions)
		for i := range due {
			due[i] = w.SignIn("ann")
		}
		w.Each(sessions*each, func(i int) error {
			_, err := w.Grants.Apply(w.Ctx(), &grantstore.Batch{OperationID: w.Op(), Use: &grantstore.Use{
				SessionID: due[i%sessions].SessionID, ClientID: fmt.Sprintf("client-%04d", i), Notify: true,
			}}, w.Now)
			return err
		})
		w.Now = due[0].Expires
		sweep, ended, queued := logout.Sweep{Limit: 10, AskRegistered: true}, 0, 0
		for range sessions {
			swept := w.SweepOnce(sweep)
			if n := len(swept.MissingClients); n > ticketstore.MaxRegistrations {
				w.Fatalf("EndDue asks for %d clients, want at most %d", n, ticketstore.MaxRegistrations)
			}
			ended, queued = ended+swept.Ended, queued+swept.NotificationsQueued
			sweep.Registered = nothingRegistered(swept.MissingClients...)
		}
		w.Same([]int{ended, queued}, []int{sessions, 0}, "sessions ended and notifications queued")
	}},
	{Name: "bad registrations are refused", Run: func(w *world.World) {
		s := w.SignIn("ann")
		many := ticketstore.Registrations{}
		for i := range ticketstore.MaxRegistrations + 1 {
			many[fmt.Sprint("client ", i)] = nil
		}
		for _, bad := range []ticketstore.Registrations{
			many, {"": nil}, {"a\x00b": nil}, {"mail": {Muted: 1 << 7}},
		} {
			_, err := w.TryEnd(logout.Ending{SessionID: s.SessionID, Registered: bad})
			w.Refuses(err, "registered", "End")
			_, err = w.Logout.EndDue(w.Ctx(), logout.Sweep{Limit: 1, Registered: bad}, w.Now)
			w.Refuses(err, "registered", "EndDue")
			_, err = w.Tickets.CreateWithin(w.Ctx(), w.Session("ann"),
				ticketstore.Limit{Max: 1, EndOldest: true, Registered: bad}, w.Now)
			w.Refuses(err, "registered", "CreateWithin")
		}
		w.SessionLives(s)
	}},
}
