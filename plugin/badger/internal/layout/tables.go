package layout

// The list of tables: which of them move, are summed and are checked.

import (
	"bytes"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Table is one of the tables of keys.go. Moves, sums and checks use only the list below: a table missing in
// it fails the check of the database that runs after every case of every suite.
type Table struct {
	Prefix []byte
	// Kind is the kind of its rows in a move, 0 for derived rows and metadata.
	Kind transfer.Kind
	Name string
}

// Tables are all tables: first those whose rows move.
var Tables = []Table{
	{TableSession, transfer.Sessions, "sessions"},
	{TableClientUse, transfer.Clients, "clients"},
	{TableEnded, transfer.Ended, "ended"},
	{TableGrant, transfer.Grants, "grants"},
	{TableOperation, transfer.Operations, "operations"},
	{TableJob, transfer.Jobs, "jobs"},
	{TablePurge, transfer.Purges, "purges"},
	{TableNotification, transfer.Notifications, "notices"},
	{TableProperty, transfer.Properties, "properties"},

	{TableCookie, 0, "sessions by cookie"},
	{IndexListing, 0, "sessions by creation"},
	{IndexSubject, 0, "sessions by subject"},
	{IndexClient, 0, "sessions by client"},
	{IndexExpiry, 0, "sessions by expiry"},
	{TableCount, 0, "counts"},
	{IndexEndedSubject, 0, "ended by subject"},
	{IndexEndedDue, 0, "ended by age"},
	{TableFamily, 0, "families"},
	{IndexGrantAll, 0, "grants by creation"},
	{IndexGrantSession, 0, "grants by session"},
	{IndexGrantSubject, 0, "grants by subject"},
	{IndexGrantClient, 0, "grants by client"},
	{indexGrantUsed, 0, "used grants by session"},
	{IndexGrantDue, 0, "grants by expiry"},
	{IndexGrantLoose, 0, "grants without session"},
	{IndexOperationAge, 0, "operations by age"},
	{IndexJobRunning, 0, "jobs under way"},
	{IndexJobAge, 0, "jobs by age"},
	{IndexNotificationDue, 0, "notices by client and time"},
	{IndexNotificationState, 0, "notices by state"},
	{IndexNotificationClient, 0, "notices by client"},
	{IndexNotificationSession, 0, "notices by session"},
	{IndexNotificationPurge, 0, "notices by age"},

	{TableDamaged, 0, "damaged"},
	{TableJournal, 0, "journal"}, // before the ledger, whose prefix is shorter
	{TableLedger, 0, "ledger"},
}

// tablesByByte lists the tables by the first byte of their keys.
var tablesByByte = func() (lists [256][]*Table) {
	for i := range Tables {
		first := Tables[i].Prefix[0]
		lists[first] = append(lists[first], &Tables[i])
	}
	return lists
}()

// TableOf returns the table of a key, or nil.
func TableOf(k []byte) *Table {
	if len(k) == 0 {
		return nil
	}
	for _, t := range tablesByByte[k[0]] {
		if bytes.HasPrefix(k, t.Prefix) {
			return t
		}
	}
	return nil
}

// KindOf returns the kind of a row in a move, or 0 if it does not move.
func KindOf(k []byte) transfer.Kind {
	if t := TableOf(k); t != nil {
		return t.Kind
	}
	return 0
}

// TableOfKind returns the table of a kind, or nil if it is unknown.
func TableOfKind(kind transfer.Kind) *Table {
	for i := range Tables {
		if Tables[i].Kind == kind && kind != 0 {
			return &Tables[i]
		}
	}
	return nil
}

// RecordOf returns a row as it moves. Most rows move unchanged; sessions and notifications lose their index
// times, and notifications their claim.
func RecordOf(t *Table, k, value []byte) (*transfer.Record, error) {
	r := &transfer.Record{Kind: t.Kind, Key: k[len(t.Prefix):], Data: value}
	switch t.Kind {
	case transfer.Sessions, transfer.Notifications:
	default:
		return r, nil
	}
	message := rules.Message(t.Kind)
	err := Decode(k, value, message)
	if err == nil {
		r.Data, err = records.Cross(message)
	}
	return r, err
}
