package postgres

// Imports: records are written into a store that is being filled.

import (
	"context"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Import implements transfer.Store. A batch is one transaction, or as many as necessary.
func (m mover) Import(ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error]) error {
	for batch, err := range batches {
		if err != nil {
			return err
		}
		for len(batch) > 0 {
			part := batch[:min(len(batch), transfer.MaxBatchRecords)]
			batch = batch[len(part):]
			err := m.submit(&call{
				ctx: ctx, now: anyTime, plan: *planOf("import"), admits: anyState,
				run: func(t *tx) error { return t.importAll(id, part) },
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// importAll writes records, replacing those with their keys.
func (t *tx) importAll(id string, batch []transfer.Record) error {
	// A change of the ledger holds all slots, including the one of this transaction.
	var move string
	if err := t.conn.QueryRow(t.ctx, t.sql("SELECT move FROM {s}.ledger")).Scan(&move); err != nil {
		t.fail(err)
		return err
	}
	if err := rules.Fills(t.state, move, id); err != nil {
		return err
	}
	messages := make([]proto.Message, len(batch))
	for i := range batch {
		var err error
		if messages[i], err = rules.Import(&batch[i]); err != nil {
			return fmt.Errorf("record %d of a batch of %d, one of %s: %w", i, len(batch), batch[i].Kind, err)
		}
	}
	t.needed(batch)
	for i := range batch {
		t.importOne(&batch[i], messages[i])
	}
	return t.err
}

// needed reads the rows that a batch replaces, and related sessions and clients, in one round trip per kind.
func (t *tx) needed(batch []transfer.Record) {
	keys := map[transfer.Kind][]string{}
	for i := range batch {
		kind, key := batch[i].Kind, string(batch[i].Key)
		keys[kind] = append(keys[kind], key)
		if kind == transfer.Clients {
			sid, _ := splitClient(key)
			keys[transfer.Sessions] = append(keys[transfer.Sessions], sid)
		}
	}
	for _, kind := range transfer.Kinds {
		t.need(kind, keys[kind]...)
	}
	var sids []string
	for _, sid := range keys[transfer.Sessions] {
		if !t.whole[clientsOf(sid)] {
			sids = append(sids, sid)
		}
	}
	t.read(query{table: clientTable, where: "t.sid = ANY($1::text[])", args: []any{sids}})
	for _, sid := range sids {
		t.whole[clientsOf(sid)] = t.err == nil
	}
}

// importOne writes a record, replacing the one with its key. Records come in any order: a client's row is
// listed by the creation of its session, whichever comes first.
func (t *tx) importOne(r *transfer.Record, message proto.Message) {
	key := string(r.Key)
	switch m := message.(type) {
	case nil:
		if r.Kind == transfer.Purges {
			message = &records.Property{Value: r.Data}
		}
	case *records.Notification:
		if !r.Deleted {
			rules.Release(m)
		}
	case *records.Session:
		m.IndexedDue = 0
		t.list(key, m.GetCreated(), r.Deleted)
	}
	if r.Deleted {
		t.remove(t.row(r.Kind, key))
		return
	}
	t.put(r.Kind, key, message)
}

// list sets the creation by which the clients of a session are listed, or none if the session is gone.
func (t *tx) list(sid string, created int64, gone bool) {
	if gone {
		created = 0
	}
	for _, c := range t.clients(sid) {
		if c.created != created {
			c.created = created
			t.touch(c)
		}
	}
}
