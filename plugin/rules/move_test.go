package rules_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestStates(t *testing.T) {
	t.Parallel()
	for state, c := range map[transfer.State]struct {
		serves, writes error
		journals       bool
	}{
		transfer.Active:     {nil, nil, false},
		transfer.Exporting:  {nil, nil, true},
		transfer.Fenced:     {nil, transfer.ErrFenced, true},
		transfer.Superseded: {nil, transfer.ErrFenced, false},
		transfer.Importing:  {ticketstore.ErrUnavailable, ticketstore.ErrUnavailable, false},
		transfer.Abandoned:  {ticketstore.ErrUnavailable, ticketstore.ErrUnavailable, false},
	} {
		serves, writes, journals := rules.Serves(state), rules.Writes(state), rules.Journals(state)
		if !errors.Is(serves, c.serves) || !errors.Is(writes, c.writes) || journals != c.journals {
			t.Errorf("%s: serves %v, writes %v, journals %t", state, serves, writes, journals)
		}
		if err := rules.Fills(state, "move", "move"); (err == nil) != (state == transfer.Importing) {
			t.Errorf("%s: fills %v", state, err)
		}
	}
	if err := rules.Fills(transfer.Importing, "move", "other"); !errors.Is(err, transfer.ErrState) {
		t.Errorf("records of another move: %v", err)
	}
}

func TestTurn(t *testing.T) {
	t.Parallel()
	// The transitions, and whether they need the store's current id.
	type turn struct{ from, to transfer.State }
	possible := map[turn]bool{
		{transfer.Active, transfer.Exporting}:    false,
		{transfer.Exporting, transfer.Fenced}:    true,
		{transfer.Fenced, transfer.Superseded}:   true,
		{transfer.Exporting, transfer.Active}:    true,
		{transfer.Fenced, transfer.Active}:       true,
		{transfer.Importing, transfer.Active}:    true,
		{transfer.Active, transfer.Importing}:    false,
		{transfer.Abandoned, transfer.Importing}: false,
		{transfer.Importing, transfer.Importing}: false,
		{transfer.Importing, transfer.Abandoned}: true,
	}
	states := []transfer.State{
		transfer.Active, transfer.Exporting, transfer.Fenced, transfer.Superseded, transfer.Importing,
		transfer.Abandoned,
	}
	for _, from := range states {
		for _, to := range states {
			for _, id := range []string{"move", "other"} {
				s := transfer.Status{
					State: from, ID: "move", Peer: "a", Origin: "first", Journaled: 9, Left: 4,
				}
				want := s
				sameID, allowed := possible[turn{from, to}]
				again := from == to && id == "move"
				allowed = allowed && !again && (id == "move" || !sameID)
				if allowed {
					want.State, want.ID, want.Peer, want.PeerStore = to, id, "b", "data of b"
					if to == transfer.Exporting || to == transfer.Active {
						want.Left = 0
					}
					if from == transfer.Importing && to == transfer.Active {
						want.Origin = id
					}
				}
				changed, err := rules.Turn(&s,
					transfer.Transition{To: to, ID: id, Peer: "b", PeerStore: "data of b"})
				if changed != allowed || (err == nil) != (allowed || again) || (err != nil &&
					!errors.Is(err, transfer.ErrState)) {
					t.Errorf("from %s to %s of %s: changed %t, error %v", from, to, id, changed, err)
				}
				if s.State != want.State || s.ID != want.ID || s.Peer != want.Peer ||
					s.PeerStore != want.PeerStore || s.Origin != want.Origin || s.Left != want.Left {
					t.Errorf("from %s to %s of %s: %+v, want %+v", from, to, id, s, want)
				}
			}
		}
	}
	// Transitions that other hosts could not follow; true if they can when the other store is shared.
	alone := map[turn]bool{}
	followable := map[turn]bool{
		{transfer.Active, transfer.Exporting}: true, {transfer.Exporting, transfer.Fenced}: true,
		{transfer.Active, transfer.Importing}: false, {transfer.Importing, transfer.Importing}: false,
	}
	for turn, follows := range followable {
		alone[turn] = true
		s := transfer.Status{State: turn.from, ID: "former", Others: []ticketstore.Host{{Name: "web-2"}}}
		if turn.to == transfer.Fenced {
			s.ID = "move"
		}
		_, err := rules.Turn(&s, transfer.Transition{To: turn.to, ID: "move", Peer: "b", Followed: true})
		if (err == nil) != follows {
			t.Errorf("from %s to %s, followed by another host: %v", turn.from, turn.to, err)
		}
	}
	for turn := range possible {
		s := transfer.Status{State: turn.from, ID: "move", Others: []ticketstore.Host{{Name: "web-2"}}}
		if turn.from == turn.to {
			s.ID = "former"
		}
		changed, err := rules.Turn(&s, transfer.Transition{To: turn.to, ID: "move", Peer: "b"})
		if changed == alone[turn] || errors.Is(err, transfer.ErrHosts) != alone[turn] ||
			(err != nil && s.State != turn.from) {
			t.Errorf("from %s to %s with another host: changed %t, error %v", turn.from, turn.to, changed,
				err)
		}
		if err != nil && !strings.Contains(err.Error(), "web-2") {
			t.Errorf("%q does not name the other host", err)
		}
		if changed, err := rules.Turn(&transfer.Status{State: turn.to, ID: "move", Others: s.Others},
			transfer.Transition{To: turn.to, ID: "move"}); changed || err != nil {
			t.Errorf("repeated to %s with another host: changed %t, error %v", turn.to, changed, err)
		}
	}
	s := transfer.Status{State: transfer.Active}
	if _, err := rules.Turn(&s, transfer.Transition{To: "archived", ID: "move"}); !errors.Is(err,
		transfer.ErrState) {
		t.Errorf("to a state of a later release: %v, want ErrState", err)
	}
	s = transfer.Status{State: transfer.Exporting, ID: "move", Peer: "a"}
	if _, err := rules.Turn(&s, transfer.Transition{To: transfer.Active, ID: "move"}); err != nil ||
		s.Peer != "a" {
		t.Errorf("a change without a peer: %+v, error %v", s, err)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	data := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	session := &records.Session{SessionId: "sid", Key: make([]byte, 32), Expires: 1}
	change := func(f func(s *records.Session)) []byte {
		s := proto.CloneOf(session)
		f(s)
		return data(s)
	}
	grant := records.RefBytes(grantstore.Ref{Type: grantstore.JTI, Key: ticketstore.Key{7}})
	for name, c := range map[string]struct {
		record transfer.Record
		want   proto.Message
		field  string // at fault, or empty
	}{
		"a session": {
			transfer.Record{Kind: transfer.Sessions, Key: []byte("sid"), Data: data(session)}, session, "",
		},
		"no key":          {transfer.Record{Kind: transfer.Ended}, nil, "key"},
		"an unknown kind": {transfer.Record{Kind: 99, Key: []byte("a")}, nil, "kind"},
		"a malformed record": {
			transfer.Record{Kind: transfer.Jobs, Key: []byte("a"), Data: []byte{0xff}}, nil, "data",
		},
		"a session under the key of another": {
			transfer.Record{Kind: transfer.Sessions, Key: []byte("other"), Data: data(session)}, nil, "data",
		},
		"a session without a cookie": {transfer.Record{
			Kind: transfer.Sessions, Key: []byte("sid"),
			Data: change(func(s *records.Session) { s.Key = nil }),
		}, nil, "data"},
		"a session without an end": {transfer.Record{
			Kind: transfer.Sessions, Key: []byte("sid"),
			Data: change(func(s *records.Session) { s.Expires = 0 }),
		}, nil, "data"},
		"a deleted session": {
			transfer.Record{Kind: transfer.Sessions, Key: []byte("sid"), Deleted: true}, &records.Session{},
			"",
		},
		"a client": {
			transfer.Record{Kind: transfer.Clients, Key: []byte("sid\x00app")}, &records.ClientUse{}, "",
		},
		"a client without a session": {
			transfer.Record{Kind: transfer.Clients, Key: []byte("\x00app")}, nil, "key",
		},
		"a client without an id": {
			transfer.Record{Kind: transfer.Clients, Key: []byte("sid\x00")}, nil, "key",
		},
		"a session as a client": {
			transfer.Record{Kind: transfer.Clients, Key: []byte("sid")}, nil, "key",
		},
		"a grant": {
			transfer.Record{Kind: transfer.Grants, Key: grant}, &records.Grant{}, "",
		},
		"a grant of an unknown type": {
			transfer.Record{Kind: transfer.Grants, Key: append([]byte{99}, grant[1:]...)}, nil, "key",
		},
		"a purge": {
			transfer.Record{Kind: transfer.Purges, Key: []byte("sid"), Data: []byte{0xff}}, nil, "",
		},
		"a notification": {
			transfer.Record{Kind: transfer.Notifications, Key: []byte("a")}, &records.Notification{}, "",
		},
		"an operation": {
			transfer.Record{Kind: transfer.Operations, Key: []byte("a")}, &records.Operation{}, "",
		},
		"a property": {
			transfer.Record{
				Kind: transfer.Properties, Key: []byte("issuer"),
				Data: data(&records.Property{Value: []byte("a")}),
			},
			&records.Property{Value: []byte("a")}, "",
		},
		"a property without a value": {
			transfer.Record{Kind: transfer.Properties, Key: []byte("issuer")}, nil, "data",
		},
		"a property without a name": {
			transfer.Record{Kind: transfer.Properties, Key: []byte("Issuer")}, nil, "name",
		},
		"a deleted property without a name": {
			transfer.Record{Kind: transfer.Properties, Key: []byte("Issuer"), Deleted: true}, nil, "name",
		},
		"a property that is too large": {transfer.Record{
			Kind: transfer.Properties, Key: []byte("issuer"),
			Data: data(&records.Property{Value: make([]byte, ticketstore.MaxProperty+1)}),
		}, nil, "value"},
	} {
		got, err := rules.Import(&c.record)
		var fault *ticketstore.FieldError
		switch {
		case c.field == "" && (err != nil || !proto.Equal(got, c.want)):
			t.Errorf("%s: %v, error %v; want %v", name, got, err, c.want)
		case c.field != "" && (!errors.As(err, &fault) || fault.Field != c.field):
			t.Errorf("%s: error %v, want one that names %s", name, err, c.field)
		}
	}
}
