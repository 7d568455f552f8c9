package badger

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// table is one of the tables of keys.go. What moves, is summed up and checked is read from the list below alone: a table that is not in it
// does not pass the check of the database that runs after every case of every suite.
type table struct {
	prefix []byte
	// kind is what its rows are in a move, 0 for rows that are made from others, or that are the store's own.
	kind transfer.Kind
	name string
}

var tables = []table{
	{tableSession, transfer.Sessions, "sessions"},
	{tableClientUse, transfer.Clients, "clients"},
	{tableEnded, transfer.Ended, "ended"},
	{tableGrant, transfer.Grants, "grants"},
	{tableOperation, transfer.Operations, "operations"},
	{tableJob, transfer.Jobs, "jobs"},
	{tablePurge, transfer.Purges, "purges"},
	{tableNotice, transfer.Notifications, "notices"},
	{tableProperty, transfer.Properties, "properties"},

	{tableCookie, 0, "sessions by cookie"},
	{indexListing, 0, "sessions by creation"},
	{indexSubject, 0, "sessions by subject"},
	{indexClient, 0, "sessions by client"},
	{indexExpiry, 0, "sessions by expiry"},
	{tableCount, 0, "counts"},
	{indexEndedSubject, 0, "ended by subject"},
	{indexEndedDue, 0, "ended by age"},
	{tableFamily, 0, "families"},
	{indexGrantAll, 0, "grants by creation"},
	{indexGrantSession, 0, "grants by session"},
	{indexGrantSubject, 0, "grants by subject"},
	{indexGrantClient, 0, "grants by client"},
	{indexGrantUsed, 0, "used grants by session"},
	{indexGrantDue, 0, "grants by expiry"},
	{indexGrantLoose, 0, "grants without session"},
	{indexOperationAge, 0, "operations by age"},
	{indexJobRunning, 0, "jobs under way"},
	{indexJobAge, 0, "jobs by age"},
	{indexNoticeDue, 0, "notices by client and time"},
	{indexNoticeState, 0, "notices by state"},
	{indexNoticeClient, 0, "notices by client"},
	{indexNoticeSession, 0, "notices by session"},
	{indexNoticePurge, 0, "notices by age"},

	{tableDamaged, 0, "damaged"},
	{tableJournal, 0, "journal"}, // before the ledger, whose prefix is the shorter
	{tableLedger, 0, "ledger"},
}

// tablesByByte lists the tables by the first byte of their keys.
var tablesByByte = func() (lists [256][]*table) {
	for i := range tables {
		first := tables[i].prefix[0]
		lists[first] = append(lists[first], &tables[i])
	}
	return lists
}()

// tableOf returns the table of a key, nil when there is none.
func tableOf(k []byte) *table {
	if len(k) == 0 {
		return nil
	}
	for _, t := range tablesByByte[k[0]] {
		if bytes.HasPrefix(k, t.prefix) {
			return t
		}
	}
	return nil
}

// kindOf returns what a row is in a move, 0 when it does not take part.
func kindOf(k []byte) transfer.Kind {
	if t := tableOf(k); t != nil {
		return t.kind
	}
	return 0
}

// tableOfKind returns the table of a kind, nil for an unknown one.
func tableOfKind(kind transfer.Kind) *table {
	for i := range tables {
		if tables[i].kind == kind && kind != 0 {
			return &tables[i]
		}
	}
	return nil
}

// recordOf returns a row as it moves. Most rows move as they are; sessions and notices leave behind where they stand in an index, and notices
// that they are claimed.
func recordOf(t *table, k, value []byte) (*transfer.Record, error) {
	r := &transfer.Record{Kind: t.kind, Key: k[len(t.prefix):], Data: value}
	switch t.kind {
	case transfer.Sessions:
		s := &records.Session{}
		if err := decode(k, value, s); err != nil {
			return nil, err
		}
		s.IndexedDue = 0
		return r, encode(r, s)
	case transfer.Notifications:
		n := &records.Notification{}
		if err := decode(k, value, n); err != nil {
			return nil, err
		}
		n.Due, n.Claimed = 0, false
		return r, encode(r, n)
	}
	return r, nil
}

func encode(r *transfer.Record, message proto.Message) (err error) {
	r.Data, err = proto.MarshalOptions{Deterministic: true}.Marshal(message)
	return err
}
