package badger

import (
	"bytes"
	"context"
	"fmt"
	"iter"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Import implements transfer.Store: a batch is one transaction, or as many as it takes.
func (m mover) Import(ctx context.Context, id string, batches iter.Seq2[[]transfer.Record, error]) error {
	for batch, err := range batches {
		if err != nil {
			return err
		}
		for len(batch) > 0 {
			n, err := m.importSome(ctx, id, batch[:min(len(batch), transfer.MaxBatchRecords)])
			if err != nil {
				return err
			}
			batch = batch[n:]
		}
	}
	return nil
}

// importSome imports as many records as one transaction takes, and returns how many.
func (m mover) importSome(ctx context.Context, id string, records []transfer.Record) (n int, err error) {
	err = m.e.fill(ctx, func(tx *tx) error {
		n = 0
		ledger := tx.group.ledger
		if transfer.State(ledger.GetState()) != transfer.Importing || ledger.GetId() != id {
			return fmt.Errorf("%w: it is %s", transfer.ErrState, ledger.GetState())
		}
		// Each record is a part of its own, for what it scans may be what the one before has written. Should a later one fail, the earlier
		// ones stay: an import may be repeated.
		for i := range records {
			part := tx.part()
			if err := part.take(&records[i]); err != nil {
				return fmt.Errorf("record %d of a batch of %d, one of %s: %w", i, len(records), records[i].Kind, err)
			}
			takes := part.measure()
			switch {
			case takes.and(tx.takes).within(tx.most):
			case tx.takes.keys == 0:
				return &errTooLarge{takes, tx.most}
			default:
				return nil // the next transaction takes it
			}
			part.join(takes)
			n++
		}
		return nil
	})
	return n, err
}

// take puts a record, and what is made from it, in the place of what has its key.
func (t *tx) take(r *transfer.Record) error {
	if len(r.Key) == 0 {
		return ticketstore.Invalidf("key", "is empty")
	}
	switch r.Kind {
	case transfer.Sessions:
		return t.takeSession(r)
	case transfer.Clients:
		return t.takeClient(r)
	case transfer.Ended:
		return t.takeEnded(r)
	case transfer.Grants:
		return t.takeGrant(r)
	case transfer.Operations:
		return t.takeOperation(r)
	case transfer.Jobs:
		return t.takeJob(r)
	case transfer.Purges:
		t.row(r)
		return nil
	case transfer.Notifications:
		return t.takeNotice(r)
	case transfer.Properties:
		return t.takeProperty(r)
	}
	return ticketstore.Invalidf("kind", "%d is none that this store knows", r.Kind)
}

// row writes the record's own row.
func (t *tx) row(r *transfer.Record) {
	k := key(tableOfKind(r.Kind).prefix, r.Key)
	if r.Deleted {
		t.delete(k)
		return
	}
	t.put(k, r.Data)
}

// read decodes a record that is not deleted.
func read(r *transfer.Record, message proto.Message) error {
	if r.Deleted {
		return nil
	}
	if err := proto.Unmarshal(r.Data, message); err != nil {
		return ticketstore.Invalidf("data", "is no record of %s", r.Kind)
	}
	return nil
}

func (t *tx) takeJob(r *transfer.Record) error {
	id := string(r.Key)
	next, old := &records.Job{}, &records.Job{}
	if err := read(r, next); err != nil {
		return err
	}
	found, err := load(t, jobKey(id), old)
	if err != nil {
		return err
	}
	if found {
		t.dropJob(id, old)
	}
	if r.Deleted {
		return nil
	}
	if err := t.saveJob(id, next); err != nil {
		return err
	}
	t.row(r) // as it came
	return nil
}

func (t *tx) takeSession(r *transfer.Record) error {
	sid := string(r.Key)
	next := &records.Session{}
	if err := read(r, next); err != nil {
		return err
	}
	if !r.Deleted && (next.SessionId != sid || len(next.Key) != len(ticketstore.Key{}) || next.Expires == 0) {
		return ticketstore.Invalidf("data", "is not the session that its key says")
	}
	old, err := loadSession(t, sid)
	if err != nil {
		return err
	}
	clients, err := clientsOf(t, sid)
	if err != nil {
		return err
	}
	if old != nil {
		for _, c := range clients {
			if err := t.listClient(old, c, false); err != nil {
				return err
			}
		}
		if err := t.dropSession(old); err != nil {
			return err
		}
	}
	if r.Deleted {
		return nil
	}
	t.put(key(tableCookie, next.Key), []byte(sid))
	t.put(sessionPosition(indexSubject, more(next.SubjectId), next), nil)
	if err := t.count("", +1); err != nil {
		return err
	}
	for _, c := range clients {
		if err := t.listClient(next, c, true); err != nil {
			return err
		}
	}
	next.IndexedDue = 0
	return t.saveSession(next, true)
}

// listClient adds a client's row to the client's listing and count, or takes it out of them.
func (t *tx) listClient(session *records.Session, c usedClient, in bool) error {
	switch k := sessionPosition(indexClient, more(c.id), session); {
	case c.use.GetDetached():
		return nil
	case in:
		t.put(k, nil)
		return t.count(c.id, +1)
	default:
		t.delete(k)
		return t.count(c.id, -1)
	}
}

func (t *tx) takeClient(r *transfer.Record) error {
	id, client, ok := bytes.Cut(r.Key, []byte{0})
	if !ok || len(id) == 0 || len(client) == 0 {
		return ticketstore.Invalidf("key", "does not name a session and a client")
	}
	sid := string(id)
	next := &records.ClientUse{}
	if err := read(r, next); err != nil {
		return err
	}
	old, err := loadClientUse(t, sid, string(client))
	if err != nil {
		return err
	}
	session, err := loadSession(t, sid)
	if err != nil {
		return err
	}
	if session != nil && old != nil {
		if err := t.listClient(session, usedClient{id: string(client), use: old}, false); err != nil {
			return err
		}
	}
	if session != nil && !r.Deleted {
		if err := t.listClient(session, usedClient{id: string(client), use: next}, true); err != nil {
			return err
		}
	}
	t.row(r)
	return nil
}

func (t *tx) takeEnded(r *transfer.Record) error {
	sid := string(r.Key)
	next := &records.Ended{}
	if err := read(r, next); err != nil {
		return err
	}
	old, err := loadEnded(t, sid)
	if err != nil {
		return err
	}
	if old != nil {
		t.delete(endedLook(old, sid))
		t.delete(key(indexEndedSubject, more(old.SubjectId), last(sid)))
	}
	if !r.Deleted {
		t.put(endedLook(next, sid), nil)
		if next.Survivors != records.Survivors_SURVIVORS_UNSPECIFIED {
			t.put(key(indexEndedSubject, more(next.SubjectId), last(sid)), nil)
		}
	}
	t.row(r)
	return nil
}

// endedLook is where an imported ended record stands in the index of those to look at. Nobody moves it while the store is a target.
func endedLook(ended *records.Ended, sid string) []byte {
	return key(indexEndedDue, timeKey(records.Nanos(records.Moment(ended.GetWhen()).Add(endedRetention))), last(sid))
}

func (t *tx) takeGrant(r *transfer.Record) error {
	ref, ok := records.RefOf(r.Key)
	if !ok {
		return ticketstore.Invalidf("key", "is not that of a grant")
	}
	next := &records.Grant{}
	if err := read(r, next); err != nil {
		return err
	}
	old, err := loadGrant(t, ref)
	if err != nil {
		return err
	}
	if old != nil {
		if err := t.dropGrant(ref, old); err != nil {
			return err
		}
	}
	switch {
	case r.Deleted:
		return nil
	case next.Consumed == 0:
		err = t.insertGrant(ref, next)
	default: // it is of no family any more
		t.putIndexes(ref, next)
		if next.Used == 0 {
			t.put(makeSmallKey, nil)
		}
	}
	t.row(r) // as it came
	return err
}

func (t *tx) takeOperation(r *transfer.Record) error {
	next, old := &records.Operation{}, &records.Operation{}
	if err := read(r, next); err != nil {
		return err
	}
	found, err := load(t, key(tableOperation, r.Key), old)
	if err != nil {
		return err
	}
	if found {
		t.delete(key(indexOperationAge, timeKey(old.GetWhen()), r.Key))
	}
	if !r.Deleted {
		t.put(key(indexOperationAge, timeKey(next.GetWhen()), r.Key), nil)
	}
	t.row(r)
	return nil
}

// takeNotice drops the claim: nobody is about to deliver it. The number of the claim stays, so that a late answer changes nothing.
func (t *tx) takeNotice(r *transfer.Record) error {
	id := string(r.Key)
	next, old := &records.Notification{}, &records.Notification{}
	if err := read(r, next); err != nil {
		return err
	}
	found, err := load(t, noticeKey(id), old)
	if err != nil {
		return err
	}
	if found {
		t.dropNotice(id, old)
	}
	if r.Deleted {
		return nil
	}
	next.Claimed, next.Due = false, 0
	var due int64
	if next.State == string(logout.Pending) {
		due = next.NextAttempt
	}
	purgeAt := next.PurgeAt
	next.PurgeAt = 0
	t.put(key(indexNoticeClient, more(next.ClientId), last(id)), nil)
	t.put(key(indexNoticeSession, more(next.SessionId), last(id)), nil)
	return t.moveNotice(id, next, next.State, due, purgeAt)
}
