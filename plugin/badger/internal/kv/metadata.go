package kv

// The metadata of a store, updated by each transaction.

import (
	"encoding/binary"
	"maps"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// metadata is what the committer maintains about the store, in the transactions that write rows: the ledger
// with the store's state in a move, the journal of changes during an export, and the contents, a count and a
// sum of each kind of records. As every write goes through here, none can bypass the fence, the journal or a
// sum.
type metadata struct {
	// ledger is also read by others; only the committer replaces it, and a published ledger is never changed.
	ledger   atomic.Pointer[recordpb.Ledger]
	contents map[transfer.Kind]transfer.Content
	// maxJournal is the constant of that name, smaller in tests.
	maxJournal uint64
}

// update is the metadata after a group's commit.
type update struct {
	ledger   *recordpb.Ledger
	contents map[transfer.Kind]transfer.Content
	// kill is the group's kill.
	kill *grantstore.Kill
}

func (m *metadata) open(db *badger.DB) error {
	txn := db.NewTransaction(false)
	defer txn.Discard()
	ledger, err := LoadLedger(&Snapshot{txn: txn})
	if err != nil {
		return err
	}
	m.ledger.Store(ledger)
	m.maxJournal = maxJournal
	m.contents, _, err = LoadContents(&Snapshot{txn: txn})
	return err
}

// LoadLedger returns the ledger of a store; a store without one is active.
func LoadLedger(r Reader) (*recordpb.Ledger, error) {
	ledger, err := Find[recordpb.Ledger](r, layout.LedgerKey)
	if err == nil && ledger == nil {
		ledger = &recordpb.Ledger{State: string(transfer.Active)}
	}
	return ledger, err
}

// LoadContents returns the contents of a store, and whether it has any: a store of format 1 has none.
func LoadContents(r Reader) (contents map[transfer.Kind]transfer.Content, found bool, err error) {
	stored, err := Find[recordpb.Contents](r, layout.ContentsKey)
	if err != nil {
		return nil, false, err
	}
	contents = map[transfer.Kind]transfer.Content{}
	for _, c := range stored.GetContents() {
		contents[transfer.Kind(c.GetKind())] = transfer.Content{Count: c.GetCount(), Sum: c.GetSum()}
	}
	return contents, stored != nil, nil
}

// Admitted returns an error if the state of the store does not allow a change. It is called in the change's
// own transaction.
func Admitted(ledger *recordpb.Ledger, moves bool) error {
	if moves {
		return nil
	}
	return rules.Writes(transfer.State(ledger.GetState()))
}

// add adds the resulting metadata to a group.
func (m *metadata) add(g *group) (*update, error) {
	published := m.ledger.Load()
	e := &update{
		ledger: g.ledger, contents: maps.Clone(m.contents),
		kill: &grantstore.Kill{All: g.ledger.GetState() != published.GetState()},
	}
	if err := g.putGathered(); err != nil {
		return nil, err
	}
	var rows []string
	for name, w := range g.writes {
		t := layout.TableOf(w.key)
		if t == nil || t.Kind == 0 {
			continue
		}
		if err := e.count(g, t, name, w); err != nil {
			return nil, err
		}
		rows = append(rows, name)
	}
	if g.recount {
		recounts, err := Recounts(&g.base)
		if err != nil {
			return nil, err
		}
		g.put(layout.RecountKey, binary.AppendUvarint(nil, recounts+1))
	}
	for kind, c := range g.correction {
		now := e.contents[kind]
		e.contents[kind] = transfer.Content{Count: now.Count + c.Count, Sum: now.Sum + c.Sum}
	}
	// Every transaction writes a row that compactions keep, so that the tables and logs of a store show
	// whether one is missing (folder/look.go).
	contents, err := encodeContents(e.contents)
	if err != nil {
		return nil, err
	}
	g.put(layout.ContentsKey, contents)
	// A move that begins in this group does not need the changes before it, because its export includes them.
	// Journaling them is harmless.
	if len(rows) > 0 && (Journals(published) || Journals(g.ledger)) && !g.ledger.GetOverflowed() {
		e.journal(g, rows, m.maxJournal)
	}
	if e.ledger == published {
		return e, nil
	}
	value, err := proto.Marshal(e.ledger)
	g.put(layout.LedgerKey, value)
	return e, err
}

// count updates the contents for the replacement of a row.
func (u *update) count(g *group, t *layout.Table, name string, w write) error {
	before, err := g.was(name)
	if err != nil {
		return err
	}
	c := u.contents[t.Kind]
	if before != nil {
		u.kills(t, name, before, w)
		switch r, err := layout.RecordOf(t, w.key, before); {
		case err == nil:
			c.Remove(r)
		case g.StepOver(err) == nil:
			g.recount = true // its part in the contents is unknown
		default:
			return err
		}
	}
	if !w.deleted {
		r, err := layout.RecordOf(t, w.key, w.value)
		if err != nil {
			return err
		}
		c.Add(r)
	}
	u.contents[t.Kind] = c
	return nil
}

// kills adds what the change of a row kills.
func (u *update) kills(t *layout.Table, name string, before []byte, w write) {
	if !rules.Kills(t.Kind) {
		return
	}
	read := func(value []byte) func() proto.Message {
		return func() proto.Message {
			message := rules.Message(t.Kind)
			if w.deleted || layout.Decode([]byte(name), value, message) != nil {
				return nil // deleted or damaged
			}
			return message
		}
	}
	rules.Kill(u.kill, t.Kind, name[len(t.Prefix):], read(before), read(w.value))
}

func encodeContents(contents map[transfer.Kind]transfer.Content) ([]byte, error) {
	stored := &recordpb.Contents{}
	for _, kind := range transfer.Kinds {
		if c := contents[kind]; c != (transfer.Content{}) {
			stored.Contents = append(stored.Contents,
				&records.Content{Kind: uint32(kind), Count: c.Count, Sum: c.Sum})
		}
	}
	return proto.Marshal(stored)
}

// publish publishes the committed metadata.
func (m *metadata) publish(e *update) {
	m.ledger.Store(e.ledger)
	m.contents = e.contents
}
