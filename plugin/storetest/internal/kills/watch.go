package kills

// watch follows the kills of a case.

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Groups returns the cases of kills.
var Groups = []world.Group{
	{Rule: 15, Name: "kills of sessions", Cases: sessionCases},
	{Rule: 15, Name: "kills of tokens", Cases: tokenCases},
	{Rule: 15, Name: "positions", Cases: positionCases},
}

// told bounds the delay of a kill on a busy machine.
const told = 30 * time.Second

// watch collects a backend's kills.
type watch struct {
	*world.World
	mu    sync.Mutex
	began uint64
	kills []*grantstore.Kill // by position, from began+1 on
	fault string
	more  chan struct{} // closed by the next kill
}

// watching follows the kills until the end of the case. It returns when the stream has begun.
func watching(w *world.World) *watch {
	w.Helper()
	if w.Kills == nil {
		w.Fatal("the backend has no kills: set Uncached in the suite's Config")
	}
	h := &watch{World: w, more: make(chan struct{})}
	begun, ended := make(chan error, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(w.Ctx())
	go func() {
		defer close(ended)
		first := true
		for kill, err := range w.Kills.Follow(ctx) {
			switch {
			case first:
				if kill != nil {
					h.began = kill.Position
				}
				begun <- err
			case err != nil:
				h.note(nil, err.Error())
			default:
				h.note(kill, "")
			}
			first = false
		}
	}()
	w.Cleanup(func() {
		cancel()
		<-ended
	})
	w.OK(<-begun, "Follow")
	return h
}

func (h *watch) note(kill *grantstore.Kill, fault string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if kill != nil {
		if want := h.began + uint64(len(h.kills)) + 1; kill.Position != want {
			fault = "a kill whose position does not follow the previous one"
		}
		h.kills = append(h.kills, kill)
	}
	if fault != "" {
		h.fault = fault
	}
	close(h.more)
	h.more = make(chan struct{})
}

// through waits for the kill of a position, and returns the kills after from.
func (h *watch) through(from, position uint64) []*grantstore.Kill {
	h.Helper()
	timeout := time.NewTimer(told)
	defer timeout.Stop()
	for {
		h.mu.Lock()
		kills, more, fault := slices.Clone(h.kills), h.more, h.fault
		h.mu.Unlock()
		if h.began+uint64(len(kills)) >= position {
			if fault != "" {
				h.Fatalf("kills: %s", fault)
			}
			return kills[from-h.began : position-h.began]
		}
		select {
		case <-more:
		case <-timeout.C:
			h.Fatalf("the kill of position %d was not streamed within %v: %d were, from %d on %s",
				position, told, len(kills), h.began, fault)
		}
	}
}

// during returns the kills made by f: up to the positions of its answers, and no others.
func (h *watch) during(f func()) killed {
	h.Helper()
	from := h.began
	h.mu.Lock()
	from += uint64(len(h.kills))
	h.mu.Unlock()
	f()
	k := killed{World: h.World}
	for _, kill := range h.through(from, h.Kills.Position()) {
		k.all = k.all || kill.All
		k.sessions = append(k.sessions, kill.Sessions...)
		k.grants = append(k.grants, kill.Grants...)
	}
	return k
}

// killed is the union of several kills.
type killed struct {
	*world.World
	all      bool
	sessions []string
	grants   []grantstore.Ref
}

// names ends the case unless each of the tokens was killed, by itself or with its session.
func (k killed) names(tokens ...grantstore.Grant) {
	k.Helper()
	for _, g := range tokens {
		if !k.all && !slices.Contains(k.grants, g.Ref) && !slices.Contains(k.sessions, g.SessionID) {
			k.Fatalf("kills %v %v: want the %s of %s in session %s", k.sessions, k.grants, g.Type,
				g.ClientID, g.SessionID)
		}
	}
}

// spares ends the case if one of the tokens was killed.
func (k killed) spares(tokens ...grantstore.Grant) {
	k.Helper()
	for _, g := range tokens {
		if k.all || slices.Contains(k.grants, g.Ref) || slices.Contains(k.sessions, g.SessionID) {
			k.Fatalf("kills %v %v, all %t: want the %s of %s in session %s spared", k.sessions, k.grants,
				k.all, g.Type, g.ClientID, g.SessionID)
		}
	}
}

// token stores an access token of a client in a session, which may be nil.
func token(w *world.World, s *ticketstore.Session, clientID string,
	options ...world.GrantOption,
) grantstore.Grant {
	w.Helper()
	return w.Stored(w.Access(s, clientID, options...))
}
