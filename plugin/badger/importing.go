package badger

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// importRecord puts a record, and what is made from it, in the place of what has its key.
func importRecord(t *kv.Tx, r *transfer.Record) error {
	if len(r.Key) == 0 {
		return ticketstore.Invalidf("key", "is empty")
	}
	switch r.Kind {
	case transfer.Sessions:
		return importSession(t, r)
	case transfer.Clients:
		return importClient(t, r)
	case transfer.Ended:
		return importEnded(t, r)
	case transfer.Grants:
		return importGrant(t, r)
	case transfer.Operations:
		return importOperation(t, r)
	case transfer.Jobs:
		return importJob(t, r)
	case transfer.Purges:
		putRecord(t, r)
		return nil
	case transfer.Notifications:
		return importNotice(t, r)
	case transfer.Properties:
		return importProperty(t, r)
	}
	return ticketstore.Invalidf("kind", "%d is none that this store knows", r.Kind)
}

// putRecord writes the record's own row.
func putRecord(t *kv.Tx, r *transfer.Record) {
	k := layout.Key(layout.TableOfKind(r.Kind).Prefix, r.Key)
	if r.Deleted {
		t.Delete(k)
		return
	}
	t.Put(k, r.Data)
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

func importJob(t *kv.Tx, r *transfer.Record) error {
	id := string(r.Key)
	next, old := &records.Job{}, &records.Job{}
	if err := read(r, next); err != nil {
		return err
	}
	found, err := kv.Load(t, layout.JobKey(id), old)
	if err != nil {
		return err
	}
	if found {
		dropJob(t, id, old)
	}
	if r.Deleted {
		return nil
	}
	if err := saveJob(t, id, next); err != nil {
		return err
	}
	putRecord(t, r) // as it came
	return nil
}

func importSession(t *kv.Tx, r *transfer.Record) error {
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
			if err := listClient(t, old, c, false); err != nil {
				return err
			}
		}
		if err := dropSession(t, old); err != nil {
			return err
		}
	}
	if r.Deleted {
		return nil
	}
	t.Put(layout.Key(layout.TableCookie, next.Key), []byte(sid))
	t.Put(layout.SessionPosition(layout.IndexSubject, layout.More(next.SubjectId), next), nil)
	if err := countSession(t, "", +1); err != nil {
		return err
	}
	for _, c := range clients {
		if err := listClient(t, next, c, true); err != nil {
			return err
		}
	}
	next.IndexedDue = 0
	return saveSession(t, next, true)
}

// listClient adds a client's row to the client's listing and count, or takes it out of them.
func listClient(t *kv.Tx, session *records.Session, c usedClient, in bool) error {
	switch k := layout.SessionPosition(layout.IndexClient, layout.More(c.id), session); {
	case c.use.GetDetached():
		return nil
	case in:
		t.Put(k, nil)
		return countSession(t, c.id, +1)
	default:
		t.Delete(k)
		return countSession(t, c.id, -1)
	}
}

func importClient(t *kv.Tx, r *transfer.Record) error {
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
		if err := listClient(t, session, usedClient{id: string(client), use: old}, false); err != nil {
			return err
		}
	}
	if session != nil && !r.Deleted {
		if err := listClient(t, session, usedClient{id: string(client), use: next}, true); err != nil {
			return err
		}
	}
	putRecord(t, r)
	return nil
}

func importEnded(t *kv.Tx, r *transfer.Record) error {
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
		t.Delete(endedLook(old, sid))
		t.Delete(layout.EndedSubjectKey(old.SubjectId, sid))
	}
	if !r.Deleted {
		t.Put(endedLook(next, sid), nil)
		if next.Survivors != records.Survivors_SURVIVORS_UNSPECIFIED {
			t.Put(layout.EndedSubjectKey(next.SubjectId, sid), nil)
		}
	}
	putRecord(t, r)
	return nil
}

// endedLook is where an imported ended record stands in the index of those to look at. Nobody moves it while
// the store is a target.
func endedLook(ended *records.Ended, sid string) []byte {
	return layout.EndedDueKey(records.Nanos(records.Moment(ended.GetWhen()).Add(endedRetention)), sid)
}

func importGrant(t *kv.Tx, r *transfer.Record) error {
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
		if err := dropGrant(t, ref, old); err != nil {
			return err
		}
	}
	switch {
	case r.Deleted:
		return nil
	case next.Consumed == 0:
		err = insertGrant(t, ref, next)
	default: // it is of no family any more
		putGrantIndexes(t, ref, next)
		if next.Used == 0 {
			t.Put(layout.MakeSmallKey, nil)
		}
	}
	putRecord(t, r) // as it came
	return err
}

func importOperation(t *kv.Tx, r *transfer.Record) error {
	next, old := &records.Operation{}, &records.Operation{}
	if err := read(r, next); err != nil {
		return err
	}
	found, err := kv.Load(t, layout.Key(layout.TableOperation, r.Key), old)
	if err != nil {
		return err
	}
	if found {
		t.Delete(layout.Key(layout.IndexOperationAge, layout.TimeKey(old.GetWhen()), r.Key))
	}
	if !r.Deleted {
		t.Put(layout.Key(layout.IndexOperationAge, layout.TimeKey(next.GetWhen()), r.Key), nil)
	}
	putRecord(t, r)
	return nil
}

// importNotice drops the claim: nobody is about to deliver it. The number of the claim stays, so that a late
// answer changes nothing.
func importNotice(t *kv.Tx, r *transfer.Record) error {
	id := string(r.Key)
	next, old := &records.Notification{}, &records.Notification{}
	if err := read(r, next); err != nil {
		return err
	}
	found, err := kv.Load(t, layout.NoticeKey(id), old)
	if err != nil {
		return err
	}
	if found {
		dropNotice(t, id, old)
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
	t.Put(layout.NoticeClientKey(next.ClientId, id), nil)
	t.Put(layout.NoticeSessionKey(next.SessionId, id), nil)
	return moveNotice(t, id, next, next.State, due, purgeAt)
}
