package badger

import (
	"encoding/binary"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxJournal bounds the journal: beyond it the export is given up, and the move with it. A host that works keeps it near empty.
const maxJournal = 4_000_000

// books are kept by the committer, in the transactions that write rows: the ledger with the state of the store, the journal while an
// export is open, and the contents. As every write passes here, none can miss the fence, the journal or a sum.
type books struct {
	// ledger is read by others too; the committer alone replaces it, and never changes what it has published.
	ledger   atomic.Pointer[recordpb.Ledger]
	contents map[transfer.Kind]transfer.Content
	// maxJournal is the constant of that name, unless a test has it smaller.
	maxJournal uint64
}

// entry is what the books become with a group's commit.
type entry struct {
	ledger   *recordpb.Ledger
	contents map[transfer.Kind]transfer.Content
}

func (b *books) open(db *badger.DB) error {
	txn := db.NewTransaction(false)
	defer txn.Discard()
	ledger, err := loadLedger(snapshot{txn: txn})
	if err != nil {
		return err
	}
	b.ledger.Store(ledger)
	b.maxJournal = maxJournal
	b.contents, _, err = loadContents(snapshot{txn: txn})
	return err
}

// loadLedger returns the ledger of a store that has none as that of an active one.
func loadLedger(r reader) (*recordpb.Ledger, error) {
	ledger := &recordpb.Ledger{}
	found, err := load(r, ledgerKey, ledger)
	if err == nil && !found {
		ledger.State = string(transfer.Active)
	}
	return ledger, err
}

func loadContents(r reader) (contents map[transfer.Kind]transfer.Content, found bool, err error) {
	stored := &recordpb.Contents{}
	if found, err = load(r, contentsKey, stored); err != nil {
		return nil, false, err
	}
	contents = map[transfer.Kind]transfer.Content{}
	for _, c := range stored.GetContents() {
		contents[transfer.Kind(c.GetKind())] = transfer.Content{Count: c.GetCount(), Sum: c.GetSum()}
	}
	return contents, found, nil
}

// admitted tells whether the store's state lets a change be made. It is asked in the change's own transaction.
func admitted(ledger *recordpb.Ledger, moves bool) error {
	if moves {
		return nil
	}
	switch transfer.State(ledger.GetState()) {
	case transfer.Fenced, transfer.Superseded:
		return transfer.ErrFenced
	case transfer.Importing, transfer.Abandoned:
		return errImporting
	}
	return nil
}

var errImporting = fmt.Errorf("%w: it is being filled from another store", ticketstore.ErrUnavailable)

// enter adds to a group what the books have to say about it.
func (b *books) enter(g *group) (*entry, error) {
	e := &entry{ledger: g.ledger, contents: b.contents}
	published := b.ledger.Load()
	var rows []string
	for name, w := range g.writes {
		t := tableOf([]byte(name))
		if t == nil || t.kind == 0 {
			continue
		}
		if err := e.count(g, t, name, w, len(rows) == 0, b.contents); err != nil {
			return nil, err
		}
		rows = append(rows, name)
	}
	if g.recount {
		doubts, err := recounts(g.base)
		if err != nil {
			return nil, err
		}
		g.writes[string(recountKey)] = write{value: binary.AppendUvarint(nil, doubts+1)}
	}
	if g.correction != nil {
		e.correct(g.correction)
	}
	// Every transaction leaves a row that compaction keeps, so that the tables and logs of a store tell whether one is missing (look.go).
	if err := e.saveContents(g); err != nil {
		return nil, err
	}
	if len(rows) > 0 {
		// A move that begins in this group may do without the changes before it: they are in its export. They do no harm.
		if (journals(published) || journals(g.ledger)) && !g.ledger.GetOverflowed() {
			e.journal(g, rows, b.maxJournal)
		}
	}
	if e.ledger == published {
		return e, nil
	}
	value, err := proto.Marshal(e.ledger)
	g.writes[string(ledgerKey)] = write{value: value}
	return e, err
}

// correct adds what a count of the rows has found wrong.
func (e *entry) correct(by map[transfer.Kind]transfer.Content) {
	corrected := maps.Clone(e.contents)
	for kind, c := range by {
		now := corrected[kind]
		corrected[kind] = transfer.Content{Count: now.Count + c.Count, Sum: now.Sum + c.Sum}
	}
	e.contents = corrected
}

// count replaces a row in the contents by what becomes of it.
func (e *entry) count(g *group, t *table, name string, w write, first bool, old map[transfer.Kind]transfer.Content) error {
	if first {
		e.contents = make(map[transfer.Kind]transfer.Content, len(old)+1)
		for kind, c := range old {
			e.contents[kind] = c
		}
	}
	before, err := g.was(name)
	if err != nil {
		return err
	}
	c := e.contents[t.kind]
	if before != nil {
		switch r, err := recordOf(t, []byte(name), before); {
		case err == nil:
			c.Remove(r)
		case g.stepOver(err) == nil:
			g.recount = true // nobody knows what it was when it was counted in
		default:
			return err
		}
	}
	if !w.deleted {
		r, err := recordOf(t, []byte(name), w.value)
		if err != nil {
			return err
		}
		c.Add(r)
	}
	e.contents[t.kind] = c
	return nil
}

func (e *entry) saveContents(g *group) error {
	value, err := encodeContents(e.contents)
	g.writes[string(contentsKey)] = write{value: value}
	return err
}

func encodeContents(contents map[transfer.Kind]transfer.Content) ([]byte, error) {
	stored := &recordpb.Contents{}
	for _, kind := range transfer.Kinds {
		if c := contents[kind]; c != (transfer.Content{}) {
			stored.Contents = append(stored.Contents, &recordpb.Content{Kind: uint32(kind), Count: c.Count, Sum: c.Sum})
		}
	}
	return proto.Marshal(stored)
}

// journals tells whether the store is a source. What was written before the fence in the fence's own group counts.
func journals(ledger *recordpb.Ledger) bool {
	state := transfer.State(ledger.GetState())
	return state == transfer.Exporting || state == transfer.Fenced
}

// journal notes the keys of the rows that a group writes.
func (e *entry) journal(g *group, rows []string, most uint64) {
	ledger := proto.CloneOf(e.ledger)
	for _, name := range rows {
		ledger.Journaled++
		g.writes[string(journalKey(ledger.Journaled))] = write{value: []byte(name)}
	}
	ledger.Overflowed = ledger.GetJournaled()-ledger.GetAcknowledged() > most
	e.ledger = ledger
}

func journalKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(key(tableJournal), number)
}

// journalNumber is the reverse of journalKey.
func journalNumber(k []byte) (number uint64, ok bool) {
	rest := k[len(tableJournal):]
	if len(rest) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(rest), true
}

// close publishes what was committed.
func (b *books) close(e *entry) {
	b.ledger.Store(e.ledger)
	b.contents = e.contents
}
