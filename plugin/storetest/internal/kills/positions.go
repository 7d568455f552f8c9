package kills

// Positions: their order, and the positions of answers.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// goneSession is the sid of a missing session.
var goneSession = ticketstore.Session{SessionID: "gone", SubjectID: "ann"}

// life is a session with a token, and a second token that no host caches.
type life struct {
	session      *ticketstore.Session
	token, asked grantstore.Grant
}

// racers is the number of racing calls.
const racers = 16

func lives(w *world.World) []life {
	w.Helper()
	all := make([]life, racers)
	for i := range all {
		all[i].session = w.SignIn(w.Name("subject"))
		all[i].token = token(w, all[i].session, "mail")
		all[i].asked = w.Stored(w.Refresh(all[i].session, "mail"))
	}
	return all
}

// race ends all sessions concurrently, and calls after upon each answer.
func race(w *world.World, all []life, after func(l *life)) {
	w.Helper()
	for _, err := range world.Race(len(all), func(i int) error {
		_, err := w.TryEnd(logout.Ending{SessionID: all[i].session.SessionID})
		after(&all[i])
		return err
	}) {
		w.OK(err, "End")
	}
}

var positionCases = []world.Case{
	{Name: "an answer's position is that of its kill, or later", Run: func(w *world.World) {
		h, all := watching(w), lives(w)
		var mu sync.Mutex
		positions := map[string]uint64{}
		race(w, all, func(l *life) {
			mu.Lock()
			defer mu.Unlock()
			positions[l.session.SessionID] = w.Kills.Position()
		})
		told := h.through(h.began, w.Kills.Position())
		for sid, position := range positions {
			at := slices.IndexFunc(told, func(k *grantstore.Kill) bool {
				return k.All || slices.Contains(k.Sessions, sid)
			})
			if at < 0 || told[at].Position > position {
				w.Fatalf("the answer to the end of %s has position %d: want that of its kill (%d of %d seen)",
					sid, position, at, len(told))
			}
		}
	}},
	{Name: "an answer that finds a kill already made has its position", Run: func(w *world.World) {
		p := newPair(w)
		ending := logout.Ending{SessionID: p.ann.SessionID, OperationID: w.Op()}
		p.during(func() {
			for range 2 { // the second answer comes from the record of the first
				w.End(ending)
			}
			w.Dead(p.token)
		}).names(p.token)
	}},
	{Name: "reads after a kill see its effect", Run: func(w *world.World) {
		all := lives(w)
		ctx, cancel := context.WithCancel(w.Ctx())
		begun, seen := make(chan struct{}), make(chan error, 1)
		go func() { seen <- askBehind(ctx, w, all, begun) }()
		<-begun
		race(w, all, func(*life) {})
		w.OK(<-seen, "Get after a kill")
		cancel()
	}},
	{Name: "a later follower begins at the current position", Run: func(w *world.World) {
		p := newPair(w)
		w.End(logout.Ending{SessionID: p.ann.SessionID})
		before := w.Kills.Position()
		h := watching(w)
		if h.began < before {
			w.Fatalf("it begins at %d, want %d or later", h.began, before)
		}
		k := h.during(func() { w.End(logout.Ending{SessionID: p.bob.SessionID}) })
		k.names(p.other)
		k.spares(p.token)
	}},
	{Name: "a cancelled follower gets no more kills", Run: func(w *world.World) {
		ctx, cancel := context.WithCancel(w.Ctx())
		defer cancel()
		var last error
		for _, err := range w.Kills.Follow(ctx) {
			last = err
			cancel()
		}
		w.Fails(last, "Follow", context.Canceled)
	}},
}

// askBehind reads a token of each killed session after its kill, until all sessions are killed.
func askBehind(ctx context.Context, w *world.World, all []life, begun chan<- struct{}) error {
	left := len(all)
	for kill, err := range w.Kills.Follow(ctx) {
		if err != nil {
			return err
		}
		if begun != nil {
			close(begun)
			begun = nil
		}
		for _, l := range all {
			if !kill.All && !slices.Contains(kill.Sessions, l.session.SessionID) {
				continue
			}
			left--
			_, err := w.Grants.Get(ctx, l.asked.Ref, w.Now)
			if !errors.Is(err, grantstore.ErrSessionEnded) && !errors.Is(err, ticketstore.ErrNotFound) {
				return fmt.Errorf("kill %d of %s: its token gives %w, want it dead", kill.Position,
					l.session.SessionID, err)
			}
		}
		if left <= 0 {
			return nil
		}
	}
	return nil
}
