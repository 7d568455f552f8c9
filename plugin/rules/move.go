package rules

// Rule 12: the states of a store in a move, and the records imported from another store.

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var errImporting = fmt.Errorf("%w: it is being filled from another store", ticketstore.ErrUnavailable)

// Serves decides whether a store in a state answers at all: not while it is being filled.
func Serves(state transfer.State) error {
	if state == transfer.Importing || state == transfer.Abandoned {
		return errImporting
	}
	return nil
}

// Writes decides whether a store in a state accepts changes: not once it is fenced. Call it in the
// transaction of the change, so that each write is ordered before the fence or refused (rule 12).
func Writes(state transfer.State) error {
	if state == transfer.Fenced || state == transfer.Superseded {
		return transfer.ErrFenced
	}
	return Serves(state)
}

// Journals reports whether a store in a state journals the keys of its changes as the source of a move.
func Journals(state transfer.State) bool {
	return state == transfer.Exporting || state == transfer.Fenced
}

// Turn applies a transition to a store's status and reports whether it changed: repeating a transition under
// the same id succeeds and changes nothing. It returns ErrState if the state does not allow the transition,
// and transfer.ErrHosts if it would take a shared store from other hosts that have it open (rule 14). Before
// importing under a different id, the engine must empty the store.
func Turn(s *transfer.Status, turn transfer.Transition) (changed bool, err error) {
	if s.State == turn.To && s.ID == turn.ID {
		return false, nil
	}
	if !mayTurn(s, turn) {
		return false, fmt.Errorf("%w: it is %s", transfer.ErrState, s.State)
	}
	if needsAlone(s.State, &turn) {
		if err := s.Alone(); err != nil {
			return false, err
		}
	}
	if s.State == transfer.Importing && turn.To == transfer.Active {
		s.Origin = turn.ID
	}
	s.State, s.ID = turn.To, turn.ID
	if turn.Peer != "" {
		s.Peer, s.PeerStore = turn.Peer, turn.PeerStore
	}
	if turn.To == transfer.Exporting || turn.To == transfer.Active {
		s.Left = 0 // the journal is no longer needed
	}
	return true, nil
}

// needsAlone reports whether a transition excludes other hosts: from behind a fence they can follow only to a
// shared store, and all their calls fail on a store that is being filled. A store that another host fills
// belongs to that host.
func needsAlone(from transfer.State, turn *transfer.Transition) bool {
	switch turn.To {
	case transfer.Exporting, transfer.Fenced:
		return !turn.Followed
	case transfer.Importing:
		return from != transfer.Abandoned
	}
	return false
}

func mayTurn(s *transfer.Status, turn transfer.Transition) bool {
	now, same := s.State, s.ID == turn.ID
	switch turn.To {
	case transfer.Exporting:
		return now == transfer.Active
	case transfer.Fenced:
		return now == transfer.Exporting && same
	case transfer.Superseded:
		return now == transfer.Fenced && same
	case transfer.Active:
		return same && (now == transfer.Exporting || now == transfer.Fenced || now == transfer.Importing)
	case transfer.Importing:
		return now == transfer.Active || now == transfer.Abandoned || now == transfer.Importing
	case transfer.Abandoned:
		return now == transfer.Importing && same
	}
	return false
}

// Fills decides whether a store accepts records of a move.
func Fills(state transfer.State, id, move string) error {
	if state != transfer.Importing || id != move {
		return fmt.Errorf("%w: it is %s", transfer.ErrState, state)
	}
	return nil
}

// Message returns an empty message of a kind, or nil for a kind without messages.
func Message(kind transfer.Kind) proto.Message {
	switch kind {
	case transfer.Sessions:
		return &records.Session{}
	case transfer.Clients:
		return &records.ClientUse{}
	case transfer.Ended:
		return &records.Ended{}
	case transfer.Grants:
		return &records.Grant{}
	case transfer.Operations:
		return &records.Operation{}
	case transfer.Jobs:
		return &records.Job{}
	case transfer.Notifications:
		return &records.Notification{}
	case transfer.Properties:
		return &records.Property{}
	}
	return nil
}

// Import validates a record from another store and returns its message: an empty one if the record is
// deleted, nil for a kind without messages.
func Import(r *transfer.Record) (proto.Message, error) {
	message, key := Message(r.Kind), string(r.Key)
	if key == "" {
		return nil, ticketstore.Invalidf("key", "is empty")
	}
	switch r.Kind {
	case transfer.Clients:
		if sid, client, _ := strings.Cut(key, "\x00"); sid == "" || client == "" {
			return nil, ticketstore.Invalidf("key", "does not name a session and a client")
		}
	case transfer.Grants:
		if _, ok := records.RefOf(key); !ok {
			return nil, ticketstore.Invalidf("key", "is not that of a grant")
		}
	case transfer.Properties:
		if err := ticketstore.CheckPropertyName(key); err != nil {
			return nil, err
		}
	case transfer.Purges:
	default:
		if message == nil {
			return nil, ticketstore.Invalidf("kind", "%d is none that this store knows", r.Kind)
		}
	}
	if r.Deleted || message == nil {
		return message, nil
	}
	if proto.Unmarshal(r.Data, message) != nil {
		return nil, ticketstore.Invalidf("data", "is no record of %s", r.Kind)
	}
	return message, checkImported(key, message)
}

func checkImported(key string, message proto.Message) error {
	switch m := message.(type) {
	case *records.Session:
		if m.SessionId != key || len(m.Key) != len(ticketstore.Key{}) || m.Expires == 0 {
			return ticketstore.Invalidf("data", "is not the session that its key says")
		}
	case *records.Property:
		if len(m.Value) == 0 {
			return ticketstore.Invalidf("data", "is a property without a value")
		}
		return ticketstore.CheckProperty(key, m.Value)
	}
	return nil
}
