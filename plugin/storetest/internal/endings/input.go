package endings

// Invalid input of a logout store.

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// badIDs are invalid ids.
var badIDs = []struct{ name, id string }{
	{"with a NUL", "a\x00b"},
	{"of 10 kB", strings.Repeat("0123456789", 1024)},
	{"one byte too long", strings.Repeat("x", ticketstore.MaxID+1)},
	{"not UTF-8", "a\xffb"},
}

var inputCases = []world.Case{
	{Name: "the refusal of a bad ending names the field, and nothing changes", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		tooMany := make([]string, logout.MaxClientIDs+1)
		for i := range tooMany {
			tooMany[i] = fmt.Sprint("client ", i)
		}
		refuse := func(name, field string, ending logout.Ending) {
			w.Helper()
			w.Refuses(world.Err(w.TryEnd(ending)), field, "End with "+name)
		}
		sid := l.session.SessionID
		refuse("neither subject nor sid", "subject_id", logout.Ending{})
		refuse("only client ids", "subject_id", logout.Ending{ClientIDs: []string{"mail"}})
		refuse("an empty list of client ids", "client_ids",
			logout.Ending{SubjectID: "ann", ClientIDs: []string{}})
		refuse("too many client ids", "client_ids", logout.Ending{SubjectID: "ann", ClientIDs: tooMany})
		refuse("an empty client id", "client_ids",
			logout.Ending{SubjectID: "ann", ClientIDs: []string{"mail", ""}})
		refuse("an unknown reason", "reason", logout.Ending{SubjectID: "ann", Reason: "spite"})
		for _, bad := range badIDs {
			refuse("a subject "+bad.name, "subject_id", logout.Ending{SubjectID: bad.id})
			refuse("a sid "+bad.name, "session_id", logout.Ending{SubjectID: "ann", SessionID: bad.id})
			refuse("a client id "+bad.name, "client_ids",
				logout.Ending{SessionID: sid, ClientIDs: []string{"mail", bad.id}})
			refuse("an operation id "+bad.name, "operation_id",
				logout.Ending{SessionID: sid, OperationID: bad.id})
		}
		_, err := w.Logout.End(w.Ctx(), &logout.Ending{SessionID: sid, Reason: logout.Terminated}, w.Now)
		w.Refuses(err, "operation_id", "End without an operation id")
		_, err = w.Logout.End(w.Ctx(), &logout.Ending{OperationID: w.Op(), SessionID: sid}, w.Now)
		w.Refuses(err, "reason", "End without a reason")
		l.untouched(w)
	}},
	{Name: "the largest number of client ids is accepted", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		many := make([]string, logout.MaxClientIDs)
		for i := range many {
			many[i] = fmt.Sprint("client ", i)
		}
		many[500] = "mail"
		result := w.End(logout.Ending{SubjectID: "ann", ClientIDs: many})
		w.Same(result.GrantsRevoked, 2, "GrantsRevoked")
		w.Same(w.Notified(l.session), []string{"mail"}, "clients notified")
	}},
	{Name: "a bad claim is refused by the name of its field", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		good := logout.Claim{Limit: 1, PerClient: 1, Lease: world.Lease}
		for field, spoil := range map[string]func(c *logout.Claim){
			"limit":      func(c *logout.Claim) { c.Limit = 0 },
			"per_client": func(c *logout.Claim) { c.PerClient = 0 },
			"lease":      func(c *logout.Claim) { c.Lease = 0 },
		} {
			bad := good
			spoil(&bad)
			w.Refuses(world.Err(w.Logout.Claim(w.Ctx(), bad, w.Now)), field, "Claim without "+field)
		}
		good.Limit = ticketstore.MaxCount + 1
		w.Refuses(world.Err(w.Logout.Claim(w.Ctx(), good, w.Now)), "limit", "Claim of more than allowed")
		w.ClaimOne()
	}},
	{Name: "the refusal of a bad outcome names the field, and nothing changes", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		d := w.ClaimOne()
		before := w.Notification(s, "mail")
		for field, outcome := range map[string]logout.Outcome{
			"state": {State: "lost"}, "next_attempt": {State: logout.Pending},
		} {
			w.Refuses(w.Logout.Settle(w.Ctx(), d.ID, d.Claim, outcome, w.Now), field,
				"Settle with a bad "+field)
		}
		w.Same(w.Notification(s, "mail"), before, "the notification after the refusals")
		w.Settle(d, logout.Outcome{State: logout.Delivered})
	}},
	{Name: "an unknown notification is not found", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Uses(s, "mail")
		w.End(logout.Ending{SessionID: s.SessionID})
		d := w.ClaimOne()
		err := w.Logout.Settle(w.Ctx(), "no-"+d.ID, d.Claim, logout.Outcome{State: logout.Delivered}, w.Now)
		w.Fails(err, "Settle an unknown notification", ticketstore.ErrNotFound)
		_, err = w.Logout.Retry(w.Ctx(), logout.Retry{ID: "no-" + d.ID}, w.Now)
		w.Fails(err, "Retry an unknown notification", ticketstore.ErrNotFound)
		for _, bad := range append(badIDs, struct{ name, id string }{"empty", ""}) {
			_, err = w.Logout.Retry(w.Ctx(), logout.Retry{ID: bad.id}, w.Now)
			w.Fails(err, "Retry a notification with an id "+bad.name, ticketstore.ErrNotFound,
				ticketstore.ErrInvalid)
		}
	}},
	{Name: "a bad filter is refused by the name of its field", Run: func(w *world.World) {
		for _, bad := range badIDs {
			for field, filter := range map[string]logout.NotificationFilter{
				"client_id": {ClientID: bad.id}, "session_id": {SessionID: bad.id}, "state": {State: "lost"},
			} {
				_, err := w.Logout.Notifications(w.Ctx(), logout.NotificationQuery{Filter: filter})
				w.Refuses(err, field, "Notifications with "+field+" "+bad.name)
			}
		}
	}},
	{Name: "a cancelled call is resolved by repeating it", Run: func(w *world.World) {
		l := liveLife(w, "ann")
		ctx, cancel := context.WithCancel(w.Ctx())
		cancel()
		ending := logout.Ending{
			OperationID: w.Op(), SessionID: l.session.SessionID, Reason: logout.Terminated,
		}
		_, err := w.Logout.End(ctx, &ending, w.Now)
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, ticketstore.ErrUnavailable) {
			w.Fatalf("End with a cancelled context: got %v, want success, context.Canceled or ErrUnavailable",
				err)
		}
		w.Same(w.End(ending), whole, "the answer to the repeated call")
		l.ended(w)
	}},
}
