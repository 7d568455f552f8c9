package grants

// Rule 2: races of grants with each other and with the end of their session.

import (
	"errors"
	"fmt"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const racers = 32

var raceCases = []world.Case{
	{Name: "of many uses of one code one wins, and its family is revoked", Run: func(w *world.World) {
		s := w.SignIn("ann")
		a := authorize(w, s)
		errs := world.Race(racers, func(int) error {
			_, _, err := withGrace(w, a.code, 0)
			return err
		})
		w.OneWins(errs, grantstore.ErrConsumed, "use of one code")
		w.Same(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID}), []grantstore.Grant{},
			"live grants: reuse revokes the family")
		w.Used(a.code)
	}},
	{Name: "of concurrent uses of a refresh token one wins, the family dies", Run: func(w *world.World) {
		s := w.SignIn("ann")
		refresh := w.Stored(w.Refresh(s, "mail"))
		stored := make([][]grantstore.Grant, racers)
		for i := range stored {
			stored[i] = []grantstore.Grant{w.Access(nil, ""), w.Refresh(nil, "")}
		}
		errs := world.Race(racers, func(i int) error {
			_, err := w.TryApply(grantstore.Batch{
				Consume: &grantstore.Consumption{Ref: refresh.Ref}, Store: stored[i],
			})
			return err
		})
		winner := w.OneWins(errs, grantstore.ErrConsumed, "use of one refresh token")
		w.Missing(stored[winner]...)
		w.Same(w.LiveGrants(grantstore.Filter{SessionID: s.SessionID}), []grantstore.Grant{},
			"live grants: reuse revokes the family")
		w.Used(refresh)
	}},
	{Name: "of many stores of one jti one wins", Run: func(w *world.World) {
		jti := w.Grant(grantstore.JTI, nil, "mail")
		errs := world.Race(racers, func(i int) error {
			g := jti
			g.Description = fmt.Sprint("attempt ", i)
			_, err := w.TryApply(grantstore.Batch{Store: []grantstore.Grant{g}})
			return err
		})
		winner := w.OneWins(errs, ticketstore.ErrExists, "store of one jti")
		found, err := w.GrantErr(jti)
		w.OK(err, "Get the jti")
		w.Same(found.Grant.Description, fmt.Sprint("attempt ", winner), "the jti that was stored")
	}},
	{Name: "of many replacements of one grant one wins", Run: func(w *world.World) {
		old := w.Stored(w.Consent("ann", "mail"))
		errs := world.Race(racers, func(i int) error {
			fresh := old
			fresh.Data = fmt.Append(nil, "attempt ", i)
			_, err := w.TryApply(grantstore.Batch{
				Seen:   []grantstore.Precondition{grantstore.PreconditionOf(&old)},
				Delete: []grantstore.Ref{old.Ref}, Store: []grantstore.Grant{fresh},
			})
			return err
		})
		winner := w.OneWins(errs, ticketstore.ErrConflict, "replacement of one grant")
		found, err := w.GrantErr(old)
		w.OK(err, "Get the grant")
		w.Same(string(found.Grant.Data), fmt.Sprint("attempt ", winner), "the data of the grant")
	}},
	{Name: "of many deletions of one pushed request one counts", Run: func(w *world.World) {
		par := w.Stored(w.Grant(grantstore.PushedAuthorization, nil, "mail"))
		revoked := make([]int, racers)
		for _, err := range world.Race(racers, func(i int) error {
			result, err := w.TryApply(grantstore.Batch{Delete: []grantstore.Ref{par.Ref}})
			if err == nil {
				revoked[i] = result.Revoked
			}
			return err
		}) {
			w.OK(err, "Apply a deletion")
		}
		total := 0
		for _, n := range revoked {
			total += n
		}
		w.Same(total, 1, "Revoked by all together")
		w.Missing(par)
	}},
	{Name: "the end of a session races everything and leaves no token", Run: func(w *world.World) {
		for round := range 12 {
			raceWithEnd(w, logout.Ending{}, fmt.Sprintf("round %d", round))
		}
	}},
	{Name: "the end of a subject races everything and leaves no token", Run: func(w *world.World) {
		for round := range 12 {
			subject := fmt.Sprintf("ann %d", round)
			raceWithEnd(w, logout.Ending{SubjectID: subject}, subject)
		}
	}},
}

// raceWithEnd ends a session while its code and refresh tokens are used and new grants are stored in it.
func raceWithEnd(w *world.World, ending logout.Ending, subject string) {
	w.Helper()
	s := w.SignIn(subject)
	if ending.SubjectID == "" {
		ending.SessionID = s.SessionID
	}
	code := authorize(w, s).code
	refresh := []grantstore.Grant{
		w.Stored(w.Refresh(s, "mail", world.Offline)), w.Stored(w.Refresh(s, "wiki")),
	}
	stored := make([][]grantstore.Grant, 8)
	for i := range stored {
		stored[i] = []grantstore.Grant{
			w.Access(s, "mail", world.Offline), w.Refresh(s, "mail", world.Offline),
		}
	}
	errs := world.Race(len(stored), func(i int) error {
		batch := grantstore.Batch{Store: stored[i]}
		switch i {
		case 0:
			_, err := w.TryEnd(ending)
			return err
		case 1:
			batch.Consume = &grantstore.Consumption{Ref: code.Ref}
		case 2, 3:
			batch.Consume = &grantstore.Consumption{Ref: refresh[i-2].Ref}
		case 4:
			batch.Use = &grantstore.Use{SessionID: s.SessionID, ClientID: "chat", Notify: true}
		}
		_, err := w.TryApply(batch)
		return err
	})
	w.OK(errs[0], "End")
	for i, err := range errs[1:] {
		if err != nil && !errors.Is(err, grantstore.ErrSessionEnded) &&
			!errors.Is(err, ticketstore.ErrNotFound) {
			w.Fatalf("the batch %d that raced the end: got %v, want success, ErrSessionEnded or ErrNotFound",
				i+1, err)
		}
	}
	for _, grants := range stored {
		w.Dead(grants...)
	}
	w.Dead(append(refresh, code)...)
	w.Same(w.LiveGrants(grantstore.Filter{SubjectID: subject}), []grantstore.Grant{},
		"live grants after the race")
	w.SessionGone(s)
}
