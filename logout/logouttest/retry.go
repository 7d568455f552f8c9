package logouttest

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
	"github.com/fosite-sessions/sessions/ticketstore/tickettest/storetest"
)

// sentAgain has a notice sent again an hour later and checks that it is like new.
func sentAgain(w *storetest.World, s *ticketstore.Session) {
	w.Helper()
	before := w.Notice(s, "mail")
	w.Pass(time.Hour)
	got := w.Retry(before.ID)
	w.Same(*got, w.Notice(s, "mail"), "the answer, which is the notice as it is then")
	want := before
	want.State, want.Attempts, want.NextAttempt, want.GiveUpAt = logout.Pending, 0, w.Now, w.Now.Add(logout.RetryWindow)
	want.LastAttempt, want.LastError = got.LastAttempt, got.LastError
	w.Same(*got, want, "the notice")
	d := w.ClaimOne()
	w.Same(d.ID, before.ID, "the notice handed out")
	w.Settle(d, logout.Outcome{State: logout.Delivered})
	after := w.Notice(s, "mail")
	w.Same(after.State, logout.Delivered, "the state in the end")
	w.Same(after.Attempts, 1, "Attempts in the end")
}

var retryCases = []storetest.Case{
	{Name: "a settled notice is sent again whatever its state", Run: func(w *storetest.World) {
		for _, state := range []logout.State{logout.Delivered, logout.Refused, logout.GivenUp} {
			s := told(w, "mail")
			w.Settle(w.ClaimOne(), logout.Outcome{State: state, LastError: "so it was"})
			sentAgain(w, s)
		}
	}},
	{Name: "a notice that was never tried is sent again", Run: func(w *storetest.World) {
		sentAgain(w, told(w, "mail"))
	}},
	{Name: "a client to be told twice is told twice although its notice is sent again in between", Run: func(w *storetest.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		second := w.Now.Add(logout.SecondNotice)
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Pass(time.Second)
		w.Retry(w.Notice(s, "mail").ID)
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		got := w.Notice(s, "mail")
		w.Same(got.State, logout.Pending, "the state after it was sent again")
		w.At(got.NextAttempt, second, "NextAttempt")
		w.Now = second
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Same(w.Notice(s, "mail").State, logout.Delivered, "the state in the end")
	}},
	{Name: "a notice put off is sent at once", Run: func(w *storetest.World) {
		s := told(w, "mail")
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Pending, NextAttempt: w.Now.Add(20 * time.Hour), LastError: "answered 500"})
		sentAgain(w, s)
	}},
	{Name: "a claimed notice is sent at once and its claim is outdated", Run: func(w *storetest.World) {
		s := told(w, "mail")
		d := w.ClaimOne()
		w.Retry(d.ID)
		err := w.Logout.Settle(w.Ctx(), d.ID, d.Claim, logout.Outcome{State: logout.Delivered}, w.Now)
		w.Fails(err, "Settle under the claim before", logout.ErrOutdated)
		again := w.ClaimOne()
		if again.Claim <= d.Claim {
			w.Fatalf("the claim number is %d after %d, want it to have risen", again.Claim, d.Claim)
		}
		err = w.Logout.Settle(w.Ctx(), d.ID, d.Claim, logout.Outcome{State: logout.Delivered}, w.Now)
		w.Fails(err, "Settle under the claim before", logout.ErrOutdated)
		w.Settle(again, logout.Outcome{State: logout.Delivered})
		w.Same(w.Notice(s, "mail").State, logout.Delivered, "the state in the end")
	}},
	{Name: "sending again tells no other client", Run: func(w *storetest.World) {
		s := told(w, "mail", "wiki")
		for _, d := range w.Claim(10).Work {
			w.Settle(d, logout.Outcome{State: logout.Delivered})
		}
		wiki := w.Notice(s, "wiki")
		w.Retry(w.Notice(s, "mail").ID)
		w.Same(w.Notice(s, "wiki"), wiki, "the other notice")
		w.Same(w.ClaimOne().ClientID, "mail", "the client handed out")
	}},
	{Name: "concurrent retries send once", Run: func(w *storetest.World) {
		s := told(w, "mail")
		d := w.ClaimOne()
		w.Settle(d, logout.Outcome{State: logout.Delivered})
		for _, err := range storetest.Race(8, func(int) error {
			_, err := w.Logout.Retry(w.Ctx(), d.ID, w.Now)
			return err
		}) {
			w.OK(err, "Retry")
		}
		w.Same(w.Told(s), []string{"mail"}, "clients with a notice, each as often as it has one")
		w.Settle(w.ClaimOne(), logout.Outcome{State: logout.Delivered})
		w.Same(len(w.Claim(10).Work), 0, "number of notices handed out afterwards")
	}},
}
