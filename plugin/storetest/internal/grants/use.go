package grants

// Uses of a session by clients.

import (
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var useCases = []world.Case{
	{Name: "a use is recorded with every field", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		w.Apply(grantstore.Batch{
			Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail", Notify: true, Coordinated: true},
		})
		client := w.Client(s, "mail")
		w.At(client.FirstUsed, w.Now, "FirstUsed")
		w.At(client.LastUsed, w.Now, "LastUsed")
		want := ticketstore.ClientUse{
			ClientID: "mail", FirstUsed: w.Now, LastUsed: w.Now, Notify: true, Coordinated: true,
			TokenNumber: client.TokenNumber,
		}
		w.Same(client, want, "the client's part in the session")
	}},
	{Name: "a later use keeps the time of the first and replaces the rest", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		first := w.Client(s, "mail")
		w.Pass(time.Minute)
		w.Apply(grantstore.Batch{
			Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail", Coordinated: true},
		})
		want := first
		want.LastUsed, want.Notify, want.Coordinated = w.Now, false, true
		w.Same(w.Client(s, "mail"), want, "the client's part in the session")
		w.Same(w.Clients(s), []string{"mail"}, "clients")
	}},
	{Name: "clients are listed by their first use", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for _, id := range []string{"wiki", "chat", "mail", "chat", "wiki"} {
			w.Uses(s, id)
			w.Pass(time.Second)
		}
		w.Same(w.Clients(s), []string{"wiki", "chat", "mail"}, "clients")
	}},
	{Name: "a use belongs only to its session", Run: func(w *world.World) {
		s, other := w.SignIn("ann"), w.SignIn("ann")
		w.Uses(s, "mail")
		w.Same(w.Clients(other), []string{}, "clients of the other session")
		w.Same(w.SIDs(ticketstore.SessionFilter{ClientID: "mail"}), []string{s.SessionID},
			"sessions of the client")
	}},
	{Name: "a use neither renews the session nor outdates its version", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		w.Uses(s, "mail")
		w.Same(w.Get(s), s, "the session after a use")
		w.Renew(s, time.Hour)
	}},
	{Name: "concurrent uses of many clients lose none", Run: func(w *world.World) {
		s := w.SignIn("ann")
		want := make([]string, 32)
		for i := range want {
			want[i] = fmt.Sprintf("client-%02d", i)
		}
		for i, err := range world.Race(len(want), func(i int) error {
			_, err := w.TryApply(grantstore.Batch{
				Use:   &grantstore.Use{SessionID: s.SessionID, ClientID: want[i], Notify: true},
				Store: []grantstore.Grant{w.Access(s, want[i])},
			})
			return err
		}) {
			w.OK(err, "Apply the use by "+want[i])
		}
		got := w.Clients(s)
		slices.Sort(got)
		w.Same(got, want, "clients")
		w.Same(len(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID})), len(want),
			"number of live grants")
	}},
	{Name: "a session has a bounded number of clients, which can still use it", Run: func(w *world.World) {
		s, other := w.SignIn("ann"), w.SignIn("bob")
		name := func(i int) string { return fmt.Sprintf("%0*d", ticketstore.MaxID, i) }
		for i := range ticketstore.MaxClients {
			w.Apply(grantstore.Batch{
				Use: &grantstore.Use{SessionID: s.SessionID, ClientID: name(i), Notify: true},
			})
		}
		late := w.Code(s, "late")
		for _, batch := range []grantstore.Batch{
			{
				Use:   &grantstore.Use{SessionID: s.SessionID, ClientID: "late", Notify: true},
				Store: []grantstore.Grant{late},
			},
			{Store: []grantstore.Grant{late}},
		} {
			w.Fails(world.Err(w.TryApply(batch)), "one client too many", ticketstore.ErrTooManyClients)
		}
		w.Missing(late)
		w.Live(w.Stored(w.Access(s, name(7))))
		w.Apply(grantstore.Batch{
			Use: &grantstore.Use{SessionID: s.SessionID, ClientID: name(8), Notify: true},
		})
		w.Apply(grantstore.Batch{Use: &grantstore.Use{SessionID: other.SessionID, ClientID: "late"}})
		w.Same(len(w.Clients(s)), ticketstore.MaxClients, "number of clients")
		w.Same(w.End(logout.Ending{SessionID: s.SessionID}).NotificationsQueued, ticketstore.MaxClients,
			"notifications queued by its end")
	}},
	{Name: "a single batch does not exceed the bound of clients", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for i := range ticketstore.MaxClients - 2 {
			w.Apply(grantstore.Batch{
				Use: &grantstore.Use{SessionID: s.SessionID, ClientID: fmt.Sprint("client ", i)},
			})
		}
		three := []grantstore.Grant{w.Access(s, "x"), w.Access(s, "y"), w.Access(s, "z")}
		_, err := w.TryApply(grantstore.Batch{Store: three})
		w.Fails(err, "three clients where there is room for two", ticketstore.ErrTooManyClients)
		w.Missing(three...)
		w.Live(w.Stored(three[0]), w.Stored(three[1]))
	}},
	{Name: "concurrent uses by one client count as one client", Run: func(w *world.World) {
		s := w.SignIn("ann")
		for _, err := range world.Race(16, func(int) error {
			_, err := w.TryApply(grantstore.Batch{
				Use: &grantstore.Use{SessionID: s.SessionID, ClientID: "mail", Notify: true},
			})
			return err
		}) {
			w.OK(err, "Apply a use")
		}
		w.Same(w.Clients(s), []string{"mail"}, "clients")
	}},
	{Name: "a use races a renewal and both are kept", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(time.Minute)
		for _, err := range world.Race(9, func(i int) error {
			if i == 0 {
				_, err := w.Tickets.Renew(w.Ctx(),
					ticketstore.Renewal{Key: s.Key, Version: s.Version, Expires: w.Now.Add(time.Hour)}, w.Now)
				return err
			}
			_, err := w.TryApply(grantstore.Batch{
				Use: &grantstore.Use{SessionID: s.SessionID, ClientID: fmt.Sprint("client ", i)},
			})
			return err
		}) {
			w.OK(err, "Renew or Apply")
		}
		w.At(w.Get(s).Expires, w.Now.Add(time.Hour), "Expires")
		w.Same(len(w.Clients(s)), 8, "number of clients")
	}},
}
