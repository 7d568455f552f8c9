package tickets

// Creation of sessions.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// sameSession ends the case if got differs from want in any field except Version, which the store assigns.
func sameSession(w *world.World, got, want *ticketstore.Session, what string) {
	w.Helper()
	ignore := cmpopts.IgnoreFields(ticketstore.Session{}, "Version")
	if diff := cmp.Diff(want, got, ignore, cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("%s is not as expected (-want +got):\n%s", what, diff)
	}
}

// public returns the session as returned by listings and Find.
func public(s *ticketstore.Session) *ticketstore.Session {
	shown := *s
	shown.Key, shown.Ticket = ticketstore.Key{}, nil
	return &shown
}

var createCases = []world.Case{
	{Name: "a created session is read by its key with every field", Run: func(w *world.World) {
		s := w.Session("ann")
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		sameSession(w, w.Get(s), s, "the session by its key")
	}},
	{Name: "a session without optional fields is read unchanged", Run: func(w *world.World) {
		s := w.Session("ann", world.Absolute(0))
		s.DisplayName, s.ACR, s.AMR, s.RemoteAddr, s.UserAgent, s.Ticket = "", "", nil, "", "", nil
		s.Visible = nil
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		sameSession(w, w.Get(s), s, "the session by its key")
		if got := w.Get(s); !got.EndsAt.IsZero() {
			w.Fatalf("EndsAt is %v, want the zero time: none was set", got.EndsAt)
		}
	}},
	{Name: "fields at their limits are kept whole", Run: func(w *world.World) {
		s := w.Session(fill(ticketstore.MaxID), world.SID(fill(ticketstore.MaxID)))
		s.DisplayName, s.UserAgent = fill(ticketstore.MaxText), fill(ticketstore.MaxText)
		s.Ticket = []byte(fill(ticketstore.MaxTicket))
		s.Visible = []byte(fill(ticketstore.MaxVisible))
		s.AMR = make([]string, ticketstore.MaxAMR)
		for i := range s.AMR {
			s.AMR[i] = fmt.Sprint("method ", i)
		}
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		sameSession(w, w.Get(s), s, "the session by its key")
		w.Find(s)
	}},
	{Name: "a session is found by its sid without key and ticket", Run: func(w *world.World) {
		s := w.SignIn("ann")
		found := w.Find(s)
		sameSession(w, &found.Session, public(s), "the session by its sid")
		w.Same(found.Clients, []ticketstore.ClientUse{}, "clients of a new session")
	}},
	{Name: "times are returned in UTC", Run: func(w *world.World) {
		s := w.Session("ann")
		zone := time.FixedZone("east", 5*3600)
		s.AuthTime, s.Created, s.Renewed = s.AuthTime.In(zone), s.Created.In(zone), s.Renewed.In(zone)
		s.Expires, s.EndsAt = s.Expires.In(zone), s.EndsAt.In(zone)
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		got := w.Get(s)
		w.At(got.AuthTime, s.AuthTime, "AuthTime")
		w.At(got.Created, s.Created, "Created")
		w.At(got.Renewed, s.Renewed, "Renewed")
		w.At(got.Expires, s.Expires, "Expires")
		w.At(got.EndsAt, s.EndsAt, "EndsAt")
	}},
	{Name: "the store does not retain the caller's memory", Run: func(w *world.World) {
		s := w.Session("ann")
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		want := w.Get(s)
		s.Ticket[0], s.AMR[0] = 'X', "changed"
		sameSession(w, w.Get(s), want, "the session after the caller changed its own")
		got := w.Get(s)
		got.Ticket[0], got.AMR[0] = 'Y', "changed"
		sameSession(w, w.Get(s), want, "the session after a reader changed its answer")
	}},
	{Name: "an unknown key or sid is not found", Run: func(w *world.World) {
		w.SignIn("ann")
		w.SessionGone(w.Session("bob"))
	}},
	{Name: "the zero key belongs to no session", Run: func(w *world.World) {
		w.SignIn("ann")
		_, err := w.Tickets.Get(w.Ctx(), ticketstore.Key{})
		w.Fails(err, "Get the zero key", ticketstore.ErrNotFound, ticketstore.ErrInvalid)
	}},
	{Name: "a taken key is refused and its session is unchanged", Run: func(w *world.World) {
		s := w.SignIn("ann")
		other := w.Session("bob")
		other.Key = s.Key
		w.Fails(w.Tickets.Create(w.Ctx(), other), "Create with a taken key", ticketstore.ErrExists)
		w.Same(w.Get(s), s, "the session that has the key")
		_, err := w.Tickets.Find(w.Ctx(), other.SessionID)
		w.Fails(err, "Find the refused session", ticketstore.ErrNotFound)
	}},
	{Name: "a taken sid is refused and its session is unchanged", Run: func(w *world.World) {
		s := w.SignIn("ann")
		other := w.Session("bob", world.SID(s.SessionID))
		other.Key = ticketstore.KeyOf("another cookie")
		w.Fails(w.Tickets.Create(w.Ctx(), other), "Create with a taken sid", ticketstore.ErrExists)
		w.Same(w.Get(s), s, "the session that has the sid")
		_, err := w.Tickets.Get(w.Ctx(), other.Key)
		w.Fails(err, "Get the refused session", ticketstore.ErrNotFound)
	}},
	{Name: "a repeated create succeeds and changes nothing", Run: func(w *world.World) {
		s := w.Session("ann")
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		once := w.Get(s)
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create repeated")
		w.Same(w.Get(s), once, "the session after the repeated Create")
		count := w.Query(ticketstore.SessionQuery{}).TotalCount
		w.Same(count, 1, "TotalCount after the repeated Create")
	}},
	{Name: "repeating a create does not undo a renewal", Run: func(w *world.World) {
		s := w.Session("ann")
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create")
		w.Pass(time.Minute)
		renewed := w.Renew(w.Get(s), time.Hour)
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create repeated")
		w.Same(w.Get(s), renewed, "the session after the repeated Create")
	}},
	{Name: "the sid of an ended session is refused", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.End(logout.Ending{SessionID: s.SessionID})
		w.SessionGone(s)
		w.Fails(w.Tickets.Create(w.Ctx(), s), "Create repeated after the end", ticketstore.ErrExists)
		again := w.Session("ann", world.SID(s.SessionID))
		again.Key = ticketstore.KeyOf("another cookie")
		w.Fails(w.Tickets.Create(w.Ctx(), again), "Create with the sid of an ended session",
			ticketstore.ErrExists)
		w.SessionGone(s, again)
	}},
	{Name: "an expired session that was not ended is read unchanged", Run: func(w *world.World) {
		s := w.SignIn("ann")
		w.Pass(48 * time.Hour)
		w.Same(w.Get(s), s, "the expired session by its key")
		found := w.Find(s)
		sameSession(w, &found.Session, public(s), "the expired session by its sid")
		if found.LiveAt(w.Now) {
			w.Fatal("the session is live two days later, want expired")
		}
	}},
	{Name: "of concurrent creates with one sid one wins", Run: func(w *world.World) {
		sessions := make([]*ticketstore.Session, 16)
		for i := range sessions {
			sessions[i] = w.Session(fmt.Sprint("user ", i), world.SID("the one"))
			sessions[i].Key = ticketstore.KeyOf([]byte{byte(i)})
		}
		errs := world.Race(len(sessions), func(i int) error { return w.Tickets.Create(w.Ctx(), sessions[i]) })
		winner := w.OneWins(errs, ticketstore.ErrExists, "Create with one sid")
		for i, s := range sessions {
			if i != winner {
				_, err := w.Tickets.Get(w.Ctx(), s.Key)
				w.Fails(err, "Get a session that lost", ticketstore.ErrNotFound)
			}
		}
		sameSession(w, w.Get(sessions[winner]), sessions[winner], "the session that won")
	}},
	{Name: "of concurrent creates with one key one wins", Run: func(w *world.World) {
		sessions := make([]*ticketstore.Session, 16)
		for i := range sessions {
			sessions[i] = w.Session(fmt.Sprint("user ", i))
			sessions[i].Key = ticketstore.KeyOf("the one")
		}
		errs := world.Race(len(sessions), func(i int) error { return w.Tickets.Create(w.Ctx(), sessions[i]) })
		winner := w.OneWins(errs, ticketstore.ErrExists, "Create with one key")
		sameSession(w, w.Get(sessions[winner]), sessions[winner], "the session that won")
		w.Same(w.Query(ticketstore.SessionQuery{}).TotalCount, 1, "TotalCount")
	}},
	{Name: "a cancelled call never returns ErrNotFound", Run: func(w *world.World) {
		s := w.SignIn("ann")
		ctx, cancel := context.WithCancel(w.Ctx())
		cancel()
		_, getErr := w.Tickets.Get(ctx, s.Key)
		_, findErr := w.Tickets.Find(ctx, s.SessionID)
		page, queryErr := w.Tickets.Query(ctx, ticketstore.SessionQuery{})
		for call, err := range map[string]error{"Get": getErr, "Find": findErr, "Query": queryErr} {
			if err != nil && !errors.Is(err, context.Canceled) &&
				!errors.Is(err, ticketstore.ErrUnavailable) {
				w.Fatalf("%s with a cancelled context: got %v, want no error, Canceled or ErrUnavailable",
					call, err)
			}
		}
		if queryErr == nil && len(page.Sessions) != 1 {
			w.Fatalf("Query with a cancelled context shows %d sessions without an error, want 1",
				len(page.Sessions))
		}
	}},
}
