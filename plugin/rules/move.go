package rules

// Rule 12: the states of a store in a move, and the records that it takes from another one.

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var errImporting = fmt.Errorf("%w: it is being filled from another store", ticketstore.ErrUnavailable)

// Serves decides whether a store in a state answers at all: not one that is being filled.
func Serves(state transfer.State) error {
	if state == transfer.Importing || state == transfer.Abandoned {
		return errImporting
	}
	return nil
}

// Writes decides whether a store in a state accepts changes; once it is fenced it does not. Call it in the
// change's own transaction, so that each write comes before the fence or is refused (rule 12).
func Writes(state transfer.State) error {
	if state == transfer.Fenced || state == transfer.Superseded {
		return transfer.ErrFenced
	}
	return Serves(state)
}

// Journals reports whether a store in a state is a source: the keys of what changes are journaled.
func Journals(state transfer.State) bool {
	return state == transfer.Exporting || state == transfer.Fenced
}

// Turn changes what a store says of itself, and reports whether it did: a turn that was made before, under
// the same id, succeeds again and changes nothing. Another one that the state does not allow is ErrState.
// What takes a shared store from its other hosts is transfer.ErrHosts while there are any (rule 14).
// Importing under another id is for its engine to empty first.
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
		s.Left = 0 // what is in the journal is not needed any more
	}
	return true, nil
}

// needsAlone reports whether other hosts could not go on after a turn: behind a fence they follow to a shared
// store alone, and all of their calls fail on one that is being filled. One that another host fills is its.
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

// Fills decides whether a store takes records of a move.
func Fills(state transfer.State, id, move string) error {
	if state != transfer.Importing || id != move {
		return fmt.Errorf("%w: it is %s", transfer.ErrState, state)
	}
	return nil
}

// Message returns an empty message of a kind, nil for rows that are none.
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

// Import checks a record from another store and returns its message: an empty one where the record is
// deleted, nil for a kind whose rows are none.
func Import(r *transfer.Record) (proto.Message, error) {
	message, key := Message(r.Kind), string(r.Key)
	if key == "" {
		return nil, ticketstore.Invalidf("key", "is empty")
	}
	switch r.Kind {
	case transfer.Clients:
		if sid, client, found := strings.Cut(key, "\x00"); !found || sid == "" || client == "" {
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
