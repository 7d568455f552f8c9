package endings

// Outcomes of deliveries.

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
)

// settlesFor checks a final outcome.
func settlesFor(w *world.World, outcome logout.Outcome) {
	w.Helper()
	s := endUsed(w, "mail")
	queued := w.Now
	w.Pass(5 * time.Second)
	d := w.ClaimOne()
	w.Pass(time.Second)
	w.Settle(d, outcome)
	got := w.Notification(s, "mail")
	w.Same(got.State, outcome.State, "the state")
	w.Same(got.LastError, outcome.LastError, "LastError")
	w.Same(got.Attempts, 1, "Attempts")
	w.At(got.LastAttempt, w.Now, "LastAttempt")
	w.At(got.Queued, queued, "Queued")
	w.Pass(48 * time.Hour)
	w.Same(*w.Claim(10), logout.ClaimResult{}, "the answer to a claim two days later")
	err := w.Logout.Settle(w.Ctx(), d.ID, d.Claim, logout.Outcome{State: logout.Pending, NextAttempt: w.Now},
		w.Now)
	w.Fails(err, "Settle again", logout.ErrOutdated)
	w.Same(w.Notification(s, "mail"), got, "the notification after the refusal")
}

var settleCases = []world.Case{
	{Name: "a delivered notification is not handed out again", Run: func(w *world.World) {
		settlesFor(w, logout.Outcome{State: logout.Delivered})
	}},
	{Name: "a refused notification is not handed out again", Run: func(w *world.World) {
		settlesFor(w, logout.Outcome{State: logout.Refused, LastError: "answered 400 invalid_request"})
	}},
	{Name: "a given-up notification is not handed out again", Run: func(w *world.World) {
		settlesFor(w, logout.Outcome{State: logout.GivenUp, LastError: "answered 500 for a day"})
	}},
	{Name: "a pending notification counts its attempts", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		giveUp := w.Notification(s, "mail").GiveUpAt
		for attempt := 1; attempt <= 3; attempt++ {
			d := w.ClaimOne()
			w.Pass(time.Second)
			next := w.Now.Add(time.Minute)
			w.Settle(d, logout.Outcome{State: logout.Pending, NextAttempt: next, LastError: "answered 500"})
			got := w.Notification(s, "mail")
			w.Same(got.State, logout.Pending, "the state")
			w.Same(got.Attempts, attempt, "Attempts")
			w.Same(got.LastError, "answered 500", "LastError")
			w.At(got.LastAttempt, w.Now, "LastAttempt")
			w.At(got.NextAttempt, next, "NextAttempt")
			w.At(got.GiveUpAt, giveUp, "GiveUpAt, which attempts do not change")
			w.Now = next
		}
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		got := w.Notification(s, "mail")
		w.Same(got.State, logout.Delivered, "the state in the end")
		w.Same(got.Attempts, 4, "Attempts in the end")
		w.Same(got.LastError, "", "LastError after a success")
	}},
	{Name: "an answer under an outdated claim changes nothing", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		late := w.ClaimOne()
		w.Pass(world.Lease)
		current := w.ClaimOne()
		before := w.Notification(s, "mail")
		for _, outcome := range []logout.Outcome{
			{State: logout.Delivered}, {State: logout.Refused}, {State: logout.GivenUp},
			{State: logout.Pending, NextAttempt: w.Now},
		} {
			err := w.Logout.Settle(w.Ctx(), late.ID, late.Claim, outcome, w.Now)
			w.Fails(err, "Settle under an outdated claim as "+string(outcome.State), logout.ErrOutdated)
		}
		w.Same(w.Notification(s, "mail"), before, "the notification")
		w.Same(len(w.Claim(10).Deliveries), 0,
			"number of notifications handed out: the current claim still holds")
		w.Settle(current, logout.Outcome{State: logout.Delivered})
	}},
	{Name: "an unknown claim number changes nothing", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		before := w.Notification(s, "mail")
		for _, number := range []uint64{0, 1, 1 << 60} {
			err := w.Logout.Settle(w.Ctx(), before.ID, number, logout.Outcome{State: logout.Delivered}, w.Now)
			w.Fails(err, "Settle under an unknown claim", logout.ErrOutdated)
		}
		w.Same(w.Notification(s, "mail"), before, "the notification")
	}},
	{Name: "a refused notification has no second delivery", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Refused, LastError: "answered 400"})
		w.At(w.Notification(s, "mail").Again, time.Time{}, "Again of a client that used the session recently")
	}},
	{Name: "a late answer under the current claim counts", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		d := w.ClaimOne()
		w.Pass(10 * world.Lease)
		w.Settle(d, logout.Outcome{State: logout.Delivered})
		w.Same(w.Notification(s, "mail").State, logout.Delivered, "the state")
		w.Same(len(w.Claim(10).Deliveries), 0, "number of notifications handed out")
	}},
	{Name: "a notification is claimed again under a higher number", Run: func(w *world.World) {
		endUsed(w, "mail")
		last := uint64(0)
		for range 4 {
			d := w.ClaimOne()
			if d.Claim <= last {
				w.Fatalf("the claim number is %d after %d, want a higher one", d.Claim, last)
			}
			last = d.Claim
			w.Settle(d, logout.Outcome{State: logout.Pending, NextAttempt: w.Now})
		}
	}},
	{Name: "a long error is truncated between characters", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		long := "x" + strings.Repeat("ü", logout.MaxLastError)
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Refused, LastError: long})
		got := w.Notification(s, "mail").LastError
		if len(got) > logout.MaxLastError || len(got) < logout.MaxLastError-4 || !utf8.ValidString(got) ||
			!strings.HasPrefix(long, got[:len(got)-4]) {
			w.Fatalf("LastError has %d bytes, want the first of the error, at most %d and UTF-8: %q",
				len(got), logout.MaxLastError, got)
		}
	}},
	{Name: "of concurrent answers under one claim one counts", Run: func(w *world.World) {
		s := endUsed(w, "mail")
		d := w.ClaimOne()
		errs := world.Race(16, func(int) error {
			return w.Logout.Settle(w.Ctx(), d.ID, d.Claim, logout.Outcome{State: logout.Delivered}, w.Now)
		})
		w.OneWins(errs, logout.ErrOutdated, "Settle")
		w.Same(w.Notification(s, "mail").Attempts, 1, "Attempts")
	}},
	{Name: "settling a notification does not change the others", Run: func(w *world.World) {
		s := endUsed(w, "mail", "wiki")
		for _, d := range w.Claim(10).Deliveries {
			if d.ClientID == "mail" {
				w.Settle(d, logout.Outcome{State: logout.Refused, LastError: "no"})
			}
		}
		wiki := w.Notification(s, "wiki")
		w.Same(wiki.State, logout.Pending, "the state of the other notification")
		w.Same(wiki.LastError, "", "LastError of the other notification")
		w.Pass(world.Lease)
		w.Same(w.ClaimOne().ClientID, "wiki", "the client handed out")
	}},
}
