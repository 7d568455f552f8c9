//go:build linux

package torture

// The final checks of the stores.

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// inspect checks each store that served or was a target of a swap, after all processes have closed it.
func (m *tormentor) inspect(serving string) {
	states := map[string]*transfer.Status{}
	for name, folder := range m.v.config.Stores {
		if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
			continue
		}
		states[name] = m.inspectStore(name, folder)
	}
	for i, move := range m.moves {
		source, target := states[move.source], states[move.target]
		switch {
		case source == nil || target == nil:
			m.t.Errorf("%s or %s cannot be opened", move.source, move.target)
			continue
		// A source that could not be notified stays fenced until a host asks.
		case source.State != transfer.Superseded && source.State != transfer.Fenced ||
			source.Peer != move.target || target.Origin != source.ID:
			m.t.Errorf("%s was swapped to %s, states are %+v and %+v", move.source, move.target, source,
				target)
		case move.job != "" && move.job != source.ID:
			m.t.Errorf("%s was swapped to %s by %s, and it names %s", move.source, move.target, move.job,
				source.ID)
		}
		if i > 0 && m.moves[i-1].target != move.source {
			m.t.Errorf("%s was swapped while %s served", move.source, m.moves[i-1].target)
		}
	}
	for name, status := range states {
		if status != nil && status.Records() > 0 && (name == serving) != (status.State == transfer.Active) {
			m.t.Errorf("%s is %s, and %s serves", name, status.State, serving)
		}
	}
}

// inspectStore runs the engine's check on a store. If the store was replaced, it repeats the calls that were
// made while it served.
func (m *tormentor) inspectStore(name, folder string) *transfer.Status {
	ctx := m.t.Context()
	engine, err := badger.Open(ctx, badger.Settings{Path: folder, CacheMiB: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		m.t.Errorf("open %s: %v", name, err)
		return nil
	}
	defer func() {
		if err := engine.Close(); err != nil {
			m.t.Errorf("close %s: %v", name, err)
		}
	}()
	status, err := engine.Transfer().Status(ctx)
	if err != nil {
		m.t.Errorf("status of %s: %v", name, err)
		return nil
	}
	report, err := engine.Check(ctx, badger.CheckConfig{Files: true})
	if err != nil || len(report.Findings) > 0 || report.SetAside > 0 {
		m.t.Errorf("the check of %s found %+v, error %v", name, report, err)
	}
	for _, move := range m.moves {
		if move.source == name {
			for _, e := range m.w.history.all() {
				m.askLeft(engine, &move, e)
			}
		}
	}
	return status
}

// askLeft calls a replaced store, which must not have been written to since. It represents a time between
// move.from and move.to: its answers are part of the history. It must not contain anything that began
// afterwards.
func (m *tormentor) askLeft(engine *badger.Engine, move *move, e *event) {
	if e.Outcome != done || e.Store != "" {
		return
	}
	ask := func(kind kind, token string, found bool) {
		asked := event{
			Kind: kind, Start: move.from, End: move.to, Outcome: refused, Store: move.source, Token: token,
			Session: e.Session, Subject: e.Subject, Client: e.Client, Offline: e.Offline, Family: e.Family,
		}
		switch {
		case found && e.Start.After(move.to):
			asked.Outcome = wrong
			asked.Problem = "it contains a record that began after " + move.target + " had replaced it, at " +
				e.Start.Format(time.StampMilli)
		case found:
			asked.Outcome = done
		case !e.End.Before(move.from):
			return // it need not exist
		}
		m.w.history.add(asked)
	}
	switch e.Kind {
	case signIn:
		_, err := engine.Tickets().Find(m.t.Context(), e.Session)
		m.known(err, ticketstore.ErrNotFound)
		ask(find, "", err == nil)
	case exchange, refresh:
		ask(introspec, e.Access, m.liveGrant(engine, grantstore.ReferenceToken, e.Access, move.from))
		// A grant with offline access may outlive its session, an access token does not.
		if !e.Offline && e.Refresh != "" {
			ask(introspec, e.Refresh, m.liveGrant(engine, grantstore.RefreshToken, e.Refresh, move.from))
		}
	}
}

func (m *tormentor) liveGrant(engine *badger.Engine, kind grantstore.Type, token string, now time.Time) bool {
	_, signature, _ := strings.Cut(token, ".")
	_, err := engine.Grants().Get(m.t.Context(),
		grantstore.Ref{Type: kind, Key: ticketstore.KeyOf(signature)}, now)
	m.known(err, ticketstore.ErrNotFound, grantstore.ErrSessionEnded, grantstore.ErrConsumed)
	return err == nil
}

// known reports an unexpected error.
func (m *tormentor) known(err error, those ...error) {
	for _, is := range those {
		if errors.Is(err, is) {
			return
		}
	}
	if err != nil {
		m.t.Errorf("a replaced store: %v", err)
	}
}
