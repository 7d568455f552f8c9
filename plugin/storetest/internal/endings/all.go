package endings

// Endings of all sessions, and their jobs.

import (
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// everyone holds two lives and the loose grants of a third subject.
type everyone struct {
	ann, bob life
	carl     loose
	robot    grantstore.Grant // client credentials: no user
}

// allOfThem is the result of ending everyone.
var allOfThem = logout.Result{
	SessionsRemoved: 2, GrantsRevoked: 14, ConsentsRevoked: 7, NotificationsQueued: 4,
}

func liveEveryone(w *world.World) everyone {
	w.Helper()
	return everyone{
		liveLife(w, "ann"), liveLife(w, "bob"), liveLoose(w, "carl", "mail"),
		w.Stored(w.Access(nil, "robot")),
	}
}

func (e everyone) untouched(w *world.World) {
	w.Helper()
	e.ann.untouched(w)
	e.bob.untouched(w)
	e.carl.live(w)
	w.Live(e.robot)
}

func (e everyone) ended(w *world.World) {
	w.Helper()
	e.ann.ended(w)
	e.bob.ended(w)
	e.carl.dead(w)
	w.Live(e.robot)
}

var allCases = []world.Case{
	{Name: "an ending of all is a job, also for grants outside of sessions", Run: func(w *world.World) {
		all := liveEveryone(w)
		w.Same(w.End(logout.Ending{All: true, DryRun: true}), allOfThem, "the answer to the dry run")
		all.untouched(w)
		ending := logout.Ending{OperationID: w.Op(), All: true}
		w.Same(w.End(ending), logout.Result{JobID: ending.OperationID}, "the answer")
		job := w.JobDone(ending.OperationID)
		w.Same(job.Result, allOfThem, "the job's result")
		w.Same([]int{job.Total, job.Done}, []int{2, 2}, "the job's progress")
		w.At(job.Started, w.Now, "when the job was started")
		all.ended(w)
	}},
	{Name: "an ending of all follows each flag", Run: func(w *world.World) {
		for name, test := range map[string]struct {
			ending logout.Ending
			want   func(*logout.Result)
		}{
			"sessions kept": {
				logout.Ending{KeepSession: true}, func(r *logout.Result) { r.SessionsRemoved = 0 },
			},
			"tokens kept": {logout.Ending{KeepTokens: true}, func(r *logout.Result) { r.GrantsRevoked = 0 }},
			"consents kept": {
				logout.Ending{KeepConsents: true}, func(r *logout.Result) { r.ConsentsRevoked = 0 },
			},
			"none notified": {
				logout.Ending{SkipNotification: true}, func(r *logout.Result) { r.NotificationsQueued = 0 },
			},
		} {
			w.Log(name)
			all := liveEveryone(w)
			want := allOfThem
			test.want(&want)
			test.ending.All, test.ending.DryRun = true, true
			w.Same(w.End(test.ending), want, "the answer to a dry run with "+name)
			all.untouched(w)
			test.ending.DryRun = false
			w.Same(w.JobDone(w.End(test.ending).JobID).Result, want, "the result with "+name)
			all.ann.isAfter(w, test.ending)
			all.bob.isAfter(w, test.ending)
			w.JobDone(w.End(logout.Ending{All: true, SkipNotification: true}).JobID)
		}
	}},
	{Name: "an ending of all revokes and notifies only named clients", Run: func(w *world.World) {
		all := liveEveryone(w)
		want := logout.Result{
			SessionsRemoved: 2, GrantsRevoked: 6, ConsentsRevoked: 3, NotificationsQueued: 2,
			ClientsLeftAlone: []string{"tv", "wiki"},
		}
		ending := logout.Ending{All: true, ClientIDs: []string{"mail"}}
		dry := ending
		dry.DryRun = true
		w.Same(w.End(dry), want, "the answer to the dry run")
		w.Same(w.JobDone(w.End(ending).JobID).Result, want, "the result")
		for _, l := range []life{all.ann, all.bob} {
			w.SessionGone(l.session)
			w.Dead(l.tokens["mail"]...)
			w.Live(l.tokens["wiki"]...)
			w.Missing(l.consent["mail"])
			w.Live(l.consent["wiki"], l.consent["tv"])
			w.Same(w.Notified(l.session), []string{"mail"}, "clients notified")
		}
		all.carl.dead(w)
	}},
	{Name: "an ending of all detaches only named clients of kept sessions", Run: func(w *world.World) {
		all := liveEveryone(w)
		ending := logout.Ending{All: true, ClientIDs: []string{"mail"}, KeepSession: true}
		want := logout.Result{
			GrantsRevoked: 6, ConsentsRevoked: 3, NotificationsQueued: 2,
			ClientsLeftAlone: []string{"tv", "wiki"},
		}
		w.Same(w.JobDone(w.End(ending).JobID).Result, want, "the result")
		w.SessionLives(all.ann.session, all.bob.session)
		w.Same(w.Clients(all.ann.session), []string{"tv", "wiki"}, "clients of a session")
	}},
	{Name: "an ending of all keeps what begins after it", Run: func(w *world.World) {
		old := liveLife(w, "ann")
		w.Pass(time.Second)
		ending := logout.Ending{OperationID: w.Op(), All: true}
		w.End(ending)
		w.JobDone(ending.OperationID)
		w.Pass(time.Second)
		fresh := liveLife(w, "ann")
		w.Same(w.End(ending), logout.Result{JobID: ending.OperationID}, "the answer to the repeated ending")
		w.Same(w.JobDone(ending.OperationID).Result, whole, "the job's result")
		old.ended(w)
		fresh.untouched(w)
	}},
	{Name: "an ending of all without sessions does nothing", Run: func(w *world.World) {
		w.Same(w.End(logout.Ending{All: true, DryRun: true}), logout.Result{}, "the answer to the dry run")
		w.Same(w.JobDone(w.End(logout.Ending{All: true}).JobID).Result, logout.Result{}, "the result")
	}},
	{Name: "many sessions end, and each is counted once", Run: func(w *world.World) {
		n := w.Rows
		sessions := make([]*ticketstore.Session, n)
		for i := range sessions {
			sessions[i] = w.Session(fmt.Sprint("subject ", i%(n/4)))
		}
		w.Each(n, func(i int) error {
			if err := w.Tickets.Create(w.Ctx(), sessions[i]); err != nil {
				return err
			}
			_, err := w.TryApply(grantstore.Batch{
				Use: &grantstore.Use{SessionID: sessions[i].SessionID, ClientID: "mail", Notify: true},
				Store: []grantstore.Grant{
					w.Refresh(sessions[i], "mail"), w.Consent(sessions[i].SubjectID, w.Name("client")),
				},
			})
			return err
		})
		want := logout.Result{
			SessionsRemoved: n, GrantsRevoked: n, ConsentsRevoked: n, NotificationsQueued: n,
		}
		w.Same(w.End(logout.Ending{All: true, DryRun: true}), want, "the answer to the dry run")
		job := w.JobDone(w.End(logout.Ending{All: true}).JobID)
		w.Same(job.Result, want, "the result")
		w.Same([]int{job.Total, job.Done}, []int{n, n}, "the job's progress")
		w.Same(w.SIDs(ticketstore.SessionFilter{}), []string{}, "sessions left")
		w.Same(len(w.Notifications(logout.NotificationFilter{ClientID: "mail"})), n,
			"number of notifications")
		w.Same(len(w.LiveGrants(grantstore.Filter{})), 0, "number of live grants")
	}},
	{Name: "a dry run of all counts each grant once, among other tokens", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		consents := func(batches int) {
			w.Each(batches, func(int) error {
				var batch grantstore.Batch
				for range 60 {
					batch.Store = append(batch.Store, w.Consent("ann", w.Name("client")))
				}
				_, err := w.TryApply(batch)
				return err
			})
			w.Pass(time.Second)
		}
		consents(8)
		var batch grantstore.Batch
		for range 60 {
			batch.Store = append(batch.Store, w.Refresh(s, "mail"))
		}
		w.Apply(batch)
		w.Pass(time.Second)
		consents(4)
		w.Same(w.End(logout.Ending{All: true, DryRun: true}), logout.Result{
			SessionsRemoved: 1, GrantsRevoked: 60, ConsentsRevoked: 720, NotificationsQueued: 1,
		}, "the answer to the dry run")
	}},
	{Name: "an ending of all races exchanges and leaves no older token", Run: func(w *world.World) {
		n := w.Rows / 3
		sessions := make([]*ticketstore.Session, n)
		for i := range sessions {
			sessions[i] = w.SignIn(fmt.Sprint("subject ", i))
		}
		tokens := make([]grantstore.Grant, n)
		for i := range tokens {
			tokens[i] = w.Refresh(sessions[i], "mail")
		}
		var id string
		errs := world.Race(n+1, func(i int) error {
			if i == n {
				ending := logout.Ending{OperationID: w.Op(), All: true, Reason: logout.Terminated}
				id = ending.OperationID
				_, err := w.Logout.End(w.Ctx(), &ending, w.Now)
				return err
			}
			_, err := w.TryApply(grantstore.Batch{
				Use:   &grantstore.Use{SessionID: sessions[i].SessionID, ClientID: "mail"},
				Store: []grantstore.Grant{tokens[i]},
			})
			return err
		})
		w.OK(errs[n], "End of all")
		w.Same(w.JobDone(id).Result.SessionsRemoved, n, "sessions removed")
		for i, err := range errs[:n] {
			if err != nil {
				w.Fails(err, "Apply that raced the end of all", grantstore.ErrSessionEnded)
			}
			w.Dead(tokens[i])
		}
	}},
	{Name: "all excludes a subject and a sid", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		for _, ending := range []logout.Ending{
			{SubjectID: "ann"}, {SessionID: l.session.SessionID}, {SubjectID: "ann", SessionID: "s"},
		} {
			ending.All = true
			w.Refuses(world.Err(w.TryEnd(ending)), "all", "End of all and one")
		}
		_, err := w.TryEnd(logout.Ending{All: true, ClientIDs: []string{}})
		w.Refuses(err, "client_ids", "End of all with an empty list of clients")
		l.untouched(w)
	}},
}

var jobCases = []world.Case{
	{Name: "an ending by subject can be queried as a job", Run: func(w *world.World) {
		liveLife(w, "ann")
		op := w.Op()
		w.End(logout.Ending{OperationID: op, SubjectID: "ann"})
		job := w.JobDone(op)
		w.Same(job.Result, whole, "the job's result")
		w.Same([]int{job.Total, job.Done}, []int{1, 1}, "the job's progress")
		w.At(job.Started, w.Now, "when the job was started")
	}},
	{Name: "a finished job is kept for a day and then purged", Run: func(w *world.World) {
		liveEveryone(w)
		for _, ending := range []logout.Ending{{SubjectID: "ann"}, {All: true}} {
			ending.OperationID = w.Op()
			w.End(ending)
			w.JobDone(ending.OperationID)
			w.Pass(time.Minute)
			w.Sweep(logout.Sweep{})
			job := w.JobDone(ending.OperationID)
			if job.Finished.Before(job.Started) || job.Finished.After(w.Now) {
				w.Fatalf("the job was finished at %v, want between its start %v and now, %v", job.Finished,
					job.Started, w.Now)
			}
			w.Now = job.Finished.Add(logout.JobRetention - time.Microsecond)
			w.Sweep(logout.Sweep{})
			w.PurgeGrants()
			w.Same(w.JobDone(ending.OperationID), job, "the job a day later")
			w.Pass(time.Microsecond)
			w.Sweep(logout.Sweep{})
			_, err := w.Logout.Job(w.Ctx(), ending.OperationID)
			w.Fails(err, "Job after its retention", ticketstore.ErrNotFound)
		}
	}},
	{Name: "an unknown job is not found", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		op := w.Op()
		w.End(logout.Ending{OperationID: op, SessionID: l.session.SessionID, DryRun: true})
		for _, id := range []string{op, "nothing", l.session.SessionID} {
			w.Fails(world.Err(w.Logout.Job(w.Ctx(), id)), "Job", ticketstore.ErrNotFound)
		}
		for _, bad := range append(badIDs, struct{ name, id string }{"empty", ""}) {
			w.Refuses(world.Err(w.Logout.Job(w.Ctx(), bad.id)), "id", "Job with an id "+bad.name)
		}
	}},
	{Name: "a session larger than one transaction is counted completely", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		const n = 600
		w.Each(n/30, func(int) error {
			var batch grantstore.Batch
			for range 30 {
				batch.Store = append(batch.Store, w.Consent("ann", "mail"), w.Refresh(s, "mail"))
			}
			_, err := w.TryApply(batch)
			return err
		})
		other := w.Stored(w.Consent("ann", "wiki"))
		want := logout.Result{
			SessionsRemoved: 1, GrantsRevoked: n, ConsentsRevoked: n, NotificationsQueued: 1,
		}
		w.Same(w.End(logout.Ending{SessionID: s.SessionID, DryRun: true}), want, "the answer to the dry run")
		ending := logout.Ending{OperationID: w.Op(), SessionID: s.SessionID}
		w.Same(w.End(ending), want, "the answer")
		w.Same(w.End(ending), want, "the answer to the repeated ending")
		left := w.LiveGrants(grantstore.Filter{})
		w.Same(len(left), 1, "number of live grants")
		w.Live(other)
	}},
}
