package endings

// Listings of notifications.

import (
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// listing returns the listing of notifications that the filter selects. Queries with a token take the filter
// from it.
func listing(w *world.World, filter logout.NotificationFilter) world.Listing {
	return func(q world.Question) (world.Answer, error) {
		query := logout.NotificationQuery{
			Order: q.Order, Count: q.Count, ResultsToken: q.Token, Prior: q.Prior,
		}
		if q.Token == "" {
			query.Filter = filter
		}
		page, err := w.Logout.Notifications(w.Ctx(), query)
		if err != nil {
			return world.Answer{}, err
		}
		return world.Answer{
			IDs: ids(page.Notifications), Token: page.ResultsToken, HasPrev: page.HasPrev,
			HasNext: page.HasNext,
		}, nil
	}
}

func ids(notifications []logout.Notification) []string {
	var all []string
	for _, n := range notifications {
		all = append(all, n.ID)
	}
	return all
}

// sevenNotifications queues seven notifications of the mail client and seven of other clients, a second
// apart, and returns the ids of mail's in order.
func sevenNotifications(w *world.World) []string {
	w.Helper()
	var all []string
	for range 7 {
		s := w.SignIn("ann")
		w.Uses(s, "mail", "wiki")
		w.Pass(time.Minute)
		w.End(logout.Ending{SessionID: s.SessionID})
		all = append(all, w.Notification(s, "mail").ID)
	}
	return all
}

var queryCases = []world.Case{
	{Name: "each filter selects exactly its notifications, in order", Run: func(w *world.World) {
		first, second := endUsed(w, "mail", "wiki"), endUsed(w, "mail", "chat")
		outcomes := map[string]logout.State{"wiki": logout.Delivered, "chat": logout.Refused}
		for _, d := range w.Claim(10).Deliveries {
			if state := outcomes[d.ClientID]; state != "" {
				w.Settle(d, logout.Outcome{State: state})
			} else if d.SessionID == second.SessionID {
				w.Settle(d, logout.Outcome{State: logout.GivenUp})
			}
		}
		mail1, wiki1 := w.Notification(first, "mail").ID, w.Notification(first, "wiki").ID
		mail2, chat2 := w.Notification(second, "mail").ID, w.Notification(second, "chat").ID
		for _, row := range []struct {
			name   string
			filter logout.NotificationFilter
			want   []string
		}{
			{"client", logout.NotificationFilter{ClientID: "mail"}, []string{mail1, mail2}},
			{"unknown client", logout.NotificationFilter{ClientID: "mai"}, nil},
			{
				"session and client",
				logout.NotificationFilter{SessionID: second.SessionID, ClientID: "chat"}, []string{chat2},
			},
			{
				"a client not of the session",
				logout.NotificationFilter{SessionID: second.SessionID, ClientID: "wiki"}, nil,
			},
			{"unknown session", logout.NotificationFilter{SessionID: "nobody's"}, nil},
			{"pending", logout.NotificationFilter{State: logout.Pending}, []string{mail1}},
			{"delivered", logout.NotificationFilter{State: logout.Delivered}, []string{wiki1}},
			{"refused", logout.NotificationFilter{State: logout.Refused}, []string{chat2}},
			{"given up", logout.NotificationFilter{State: logout.GivenUp}, []string{mail2}},
			{
				"state and client", logout.NotificationFilter{State: logout.GivenUp, ClientID: "mail"},
				[]string{mail2},
			},
			{
				"state and a different client",
				logout.NotificationFilter{State: logout.GivenUp, ClientID: "chat"}, nil,
			},
			{
				"all three",
				logout.NotificationFilter{
					State: logout.Pending, ClientID: "mail", SessionID: first.SessionID,
				},
				[]string{mail1},
			},
		} {
			w.Same(ids(w.Notifications(row.filter)), row.want, "notifications by "+row.name)
		}
		w.Same(len(w.Notifications(logout.NotificationFilter{})), 4, "number of notifications without filter")
		w.Same(len(w.Notifications(logout.NotificationFilter{SessionID: first.SessionID})), 2,
			"number of notifications of a session")
	}},
	{Name: "without a match the page is empty and has no token", Run: func(w *world.World) {
		page, err := w.Logout.Notifications(w.Ctx(), logout.NotificationQuery{})
		w.OK(err, "Notifications")
		w.Same(*page, logout.NotificationPage{}, "the page")
	}},
	{Name: "pages without filter", Run: func(w *world.World) {
		sevenNotifications(w)
		w.CheckPaging(listing(w, logout.NotificationFilter{}),
			ids(w.Notifications(logout.NotificationFilter{})))
	}},
	{Name: "pages by client", Run: func(w *world.World) {
		w.CheckPaging(listing(w, logout.NotificationFilter{ClientID: "mail"}), sevenNotifications(w))
	}},
	{Name: "pages by state", Run: func(w *world.World) {
		want := sevenNotifications(w)
		w.CheckPaging(listing(w, logout.NotificationFilter{State: logout.Pending, ClientID: "mail"}), want)
		for _, d := range w.Claim(100).Deliveries {
			if d.ClientID == "mail" {
				w.Settle(d, logout.Outcome{State: logout.Delivered})
			}
		}
		w.CheckPaging(listing(w, logout.NotificationFilter{State: logout.Delivered}), want)
	}},
	{Name: "pages by session", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "a", "b", "c", "d", "e", "f")
		w.Pass(time.Minute)
		w.End(logout.Ending{SessionID: s.SessionID})
		filter := logout.NotificationFilter{SessionID: s.SessionID}
		w.CheckPaging(listing(w, filter), ids(w.Notifications(filter)))
	}},
	{Name: "a walk over a state continues as notifications leave the state", Run: func(w *world.World) {
		sevenNotifications(w)
		total := len(w.Notifications(logout.NotificationFilter{}))
		work := map[string]logout.Delivery{}
		for _, d := range w.Claim(100).Deliveries {
			work[d.ID] = d
		}
		query := logout.NotificationQuery{Filter: logout.NotificationFilter{State: logout.Pending}, Count: 3}
		seen := 0
		for range 100 {
			page, err := w.Logout.Notifications(w.Ctx(), query)
			w.OK(err, "Notifications")
			for _, n := range page.Notifications {
				w.Settle(work[n.ID], logout.Outcome{State: logout.Delivered})
				seen++
			}
			if !page.HasNext {
				break
			}
			query.ResultsToken = page.ResultsToken
		}
		w.Same(seen, total, "number of notifications shown")
	}},
	{Name: "a token of a different filter or listing is refused", Run: func(w *world.World) {
		sevenNotifications(w)
		page, err := w.Logout.Notifications(w.Ctx(),
			logout.NotificationQuery{Filter: logout.NotificationFilter{ClientID: "mail"}, Count: 2})
		w.OK(err, "Notifications")
		for name, filter := range map[string]logout.NotificationFilter{
			"another client": {ClientID: "wiki"}, "a session more": {SessionID: "s"},
			"a state more": {State: logout.Pending},
		} {
			_, err := w.Logout.Notifications(w.Ctx(),
				logout.NotificationQuery{Filter: filter, ResultsToken: page.ResultsToken})
			w.RefusesToken(err, "Notifications with the token of a different query: "+name)
		}
		w.SignIn("ann")
		sessions := w.Query(ticketstore.SessionQuery{})
		_, err = w.Logout.Notifications(w.Ctx(),
			logout.NotificationQuery{ResultsToken: sessions.ResultsToken})
		w.RefusesToken(err, "Notifications with a token of sessions")
	}},
}
