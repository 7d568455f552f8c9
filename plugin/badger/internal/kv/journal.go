package kv

// The journal of changes: during an export, each transaction records the keys of the rows that it writes.

import (
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// maxJournal bounds the journal: beyond it the export, and thus the move, fails. A working host keeps it
// nearly empty.
const maxJournal = 4_000_000

// Journals reports whether changes are journaled, because the store is a source. Writes before the fence in
// the fence's own group are included.
func Journals(ledger *recordpb.Ledger) bool {
	return rules.Journals(transfer.State(ledger.GetState()))
}

// journal records the keys of the rows that a group writes.
func (u *update) journal(g *group, rows []string, most uint64) {
	ledger := proto.CloneOf(u.ledger)
	for _, name := range rows {
		ledger.Journaled++
		g.put(layout.JournalKey(ledger.Journaled), []byte(name))
	}
	ledger.Overflowed = ledger.GetJournaled()-ledger.GetAcknowledged() > most
	u.ledger = ledger
}
