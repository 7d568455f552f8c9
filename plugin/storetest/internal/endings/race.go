package endings

// Concurrent endings, uses and claims.

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// useOf is a batch in which a client that can be notified uses the session and gets a token.
func useOf(s *ticketstore.Session, clientID string) grantstore.Batch {
	return grantstore.Batch{Use: &grantstore.Use{SessionID: s.SessionID, ClientID: clientID, Notify: true}}
}

// endMany makes an ending many times concurrently, under different operation ids, and returns the sum of the
// results.
func endMany(w *world.World, endings ...logout.Ending) logout.Result {
	w.Helper()
	results := make([]logout.Result, 16)
	for _, err := range world.Race(len(results), func(i int) error {
		result, err := w.TryEnd(endings[i%len(endings)])
		if err == nil {
			results[i] = *result
		}
		return err
	}) {
		w.OK(err, "End")
	}
	var total logout.Result
	for _, result := range results {
		total.Add(result)
	}
	return total
}

var raceCases = []world.Case{
	{Name: "of many ends of one session one ends it", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.Same(endMany(w, logout.Ending{SessionID: l.session.SessionID}), whole,
			"the sum of all answers")
		l.ended(w)
	}},
	{Name: "of many ends of one subject each session ends once", Run: func(w *world.World) {
		a, b := liveLife(w, "ann"), liveLife(w, "ann")
		unused := w.Stored(w.Consent("ann", "chat"))
		token := w.Stored(w.Refresh(nil, "mail", world.Of("ann")))
		total := endMany(w, logout.Ending{SubjectID: "ann"})
		want := logout.Result{
			SessionsRemoved: 2, GrantsRevoked: 13, ConsentsRevoked: 7, NotificationsQueued: 4,
		}
		w.Same(total, want, "the sum of all answers")
		a.ended(w)
		b.ended(w)
		w.Missing(unused, token)
	}},
	{Name: "ends by sid and by subject notify each client once", Run: func(w *world.World) {
		a, b := liveLife(w, "ann"), liveLife(w, "ann")
		total := endMany(w, logout.Ending{SubjectID: "ann"}, logout.Ending{SessionID: a.session.SessionID},
			logout.Ending{SessionID: b.session.SessionID, SubjectID: "ann", Reason: logout.UserLogout})
		want := logout.Result{
			SessionsRemoved: 2, GrantsRevoked: 12, ConsentsRevoked: 6, NotificationsQueued: 4,
		}
		w.Same(total, want, "the sum of all answers")
		a.ended(w)
		b.ended(w)
	}},
	{Name: "an end races a sweep and each client is notified once", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		w.Now = l.session.Expires
		for _, err := range world.Race(8, func(i int) error {
			if i%2 == 0 {
				_, err := w.Logout.EndDue(w.Ctx(), logout.Sweep{Limit: 10}, w.Now)
				return err
			}
			_, err := w.TryEnd(logout.Ending{
				SessionID: l.session.SessionID, Reason: logout.SessionExpiration, KeepConsents: true,
			})
			return err
		}) {
			w.OK(err, "End or EndDue")
		}
		w.SessionGone(l.session)
		w.Same(w.Notified(l.session), []string{"mail", "wiki"}, "clients notified")
	}},
	{Name: "a session ends together with its notifications", Run: func(w *world.World) {
		clients := []string{"c1", "c2", "c3", "c4"}
		for round := range 10 {
			s := w.SignIn(fmt.Sprint("ann ", round))
			w.Uses(s, clients...)
			errs := world.Race(3, func(i int) error {
				if i == 0 {
					_, err := w.TryEnd(logout.Ending{SessionID: s.SessionID})
					return err
				}
				return watchEnd(w, s, len(clients))
			})
			for _, err := range errs {
				w.OK(err, "watch the end of a session")
			}
		}
	}},
	{Name: "a use races the end and the client is notified or refused", Run: func(w *world.World) {
		for range 10 {
			s := w.SignIn("ann")
			want := make([]bool, 8)
			errs := world.Race(len(want)+1, func(i int) error {
				if i == len(want) {
					_, err := w.TryEnd(logout.Ending{SessionID: s.SessionID})
					return err
				}
				_, err := w.TryApply(useOf(s, fmt.Sprintf("client-%d", i)))
				want[i] = err == nil
				if errors.Is(err, grantstore.ErrSessionEnded) {
					return nil
				}
				return err
			})
			for _, err := range errs {
				w.OK(err, "End or Apply")
			}
			var used []string
			for i, ok := range want {
				if ok {
					used = append(used, fmt.Sprintf("client-%d", i))
				}
			}
			slices.Sort(used)
			w.Same(w.Notified(s), used, "clients notified, which are those whose use was recorded")
		}
	}},
}

// watchEnd polls the session until it is gone. It returns an error if its notifications do not appear at the
// same time (rule 1).
func watchEnd(w *world.World, s *ticketstore.Session, clients int) error {
	query := logout.NotificationQuery{Filter: logout.NotificationFilter{SessionID: s.SessionID}}
	for range 100_000 {
		before, err := w.Logout.Notifications(w.Ctx(), query)
		if err != nil {
			return err
		}
		_, err = w.Tickets.Find(w.Ctx(), s.SessionID)
		gone := errors.Is(err, ticketstore.ErrNotFound)
		if err != nil && !gone {
			return err
		}
		if !gone && len(before.Notifications) > 0 {
			return fmt.Errorf("the session still exists after %d of its notifications were",
				len(before.Notifications))
		}
		if !gone {
			continue
		}
		after, err := w.Logout.Notifications(w.Ctx(), query)
		if err != nil {
			return err
		}
		if len(after.Notifications) != clients {
			return fmt.Errorf("the session is gone and has %d notifications, want %d",
				len(after.Notifications),
				clients)
		}
		return nil
	}
	return errors.New("the session still exists after 100,000 polls")
}
