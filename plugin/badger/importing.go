package badger

// The import of records: each row, and the index entries and counts derived from it.

import (
	"strings"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// importRecord writes a record and the rows derived from it, replacing the record with its key.
func importRecord(t *kv.Tx, r *transfer.Record) error {
	message, err := rules.Import(r)
	if err != nil {
		return err
	}
	switch next := message.(type) {
	case *records.Session:
		return importSession(t, r, next)
	case *records.ClientUse:
		return importClient(t, r, next)
	case *records.Ended:
		return importEnded(t, r, next)
	case *records.Grant:
		return importGrant(t, r, next)
	case *records.Operation:
		return importOperation(t, r, next)
	case *records.Job:
		return importJob(t, r, next)
	case *records.Notification:
		return importNotification(t, r, next)
	}
	putRecord(t, r) // nothing is derived from it
	return nil
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

func importJob(t *kv.Tx, r *transfer.Record, next *records.Job) error {
	id, old := string(r.Key), &records.Job{}
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
	putRecord(t, r) // unchanged
	return nil
}

func importSession(t *kv.Tx, r *transfer.Record, next *records.Session) error {
	sid := string(r.Key)
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
			if err := listClient(t, old, c, -1); err != nil {
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
		if err := listClient(t, next, c, +1); err != nil {
			return err
		}
	}
	next.IndexedDue = 0
	return saveSession(t, next, true)
}

func importClient(t *kv.Tx, r *transfer.Record, next *records.ClientUse) error {
	sid, client, _ := strings.Cut(string(r.Key), "\x00")
	old, err := loadClientUse(t, sid, client)
	if err != nil {
		return err
	}
	session, err := loadSession(t, sid)
	if err != nil {
		return err
	}
	if session != nil && old != nil {
		if err := listClient(t, session, steps.Client{ID: client, Use: old}, -1); err != nil {
			return err
		}
	}
	if session != nil && !r.Deleted {
		if err := listClient(t, session, steps.Client{ID: client, Use: next}, +1); err != nil {
			return err
		}
	}
	putRecord(t, r)
	return nil
}

func importEnded(t *kv.Tx, r *transfer.Record, next *records.Ended) error {
	sid := string(r.Key)
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

// endedLook returns the key of an imported ended record in the due index. It does not change while the store
// is a target.
func endedLook(ended *records.Ended, sid string) []byte {
	return layout.EndedDueKey(rules.EndedDue(ended), sid)
}

func importGrant(t *kv.Tx, r *transfer.Record, next *records.Grant) error {
	ref, _ := records.RefOf(r.Key)
	old, err := grantrows.Load(t, ref)
	if err != nil {
		return err
	}
	if r.Deleted {
		next = nil
	}
	if err := putGrant(t, ref, old, next); err != nil || r.Deleted {
		return err
	}
	if rules.LegacyUsed(next) {
		t.Put(layout.MakeSmallKey, nil)
	}
	putRecord(t, r) // unchanged
	return nil
}

func importOperation(t *kv.Tx, r *transfer.Record, next *records.Operation) error {
	old := &records.Operation{}
	found, err := kv.Load(t, layout.Key(layout.TableOperation, r.Key), old)
	if err != nil {
		return err
	}
	if found {
		t.Delete(layout.OperationAgeKey(old.GetWhen(), string(r.Key)))
	}
	if !r.Deleted {
		t.Put(layout.OperationAgeKey(next.GetWhen(), string(r.Key)), nil)
	}
	putRecord(t, r)
	return nil
}

// importNotification drops the claim.
func importNotification(t *kv.Tx, r *transfer.Record, next *records.Notification) error {
	id, old := string(r.Key), &records.Notification{}
	found, err := kv.Load(t, layout.NotificationKey(id), old)
	if err != nil {
		return err
	}
	if found {
		dropNotification(t, id, old)
	}
	if r.Deleted {
		return nil
	}
	rules.Release(next)
	return insertNotification(t, id, next)
}
