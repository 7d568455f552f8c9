package badger

// The import of records: each row, and the index entries and counts derived from it.

import (
	"strings"

	"google.golang.org/protobuf/proto"

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
		return importEntries(t, r, next, layout.EndedEntries)
	case *records.Grant:
		return importGrant(t, r, next)
	case *records.Operation:
		return importEntries(t, r, next, layout.OperationEntries)
	case *records.Job:
		return importEntries(t, r, next, layout.JobEntries)
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

// importEntries writes a record and its index entries in place of those of the record with its key.
func importEntries[Record any, Message interface {
	*Record
	proto.Message
}](t *kv.Tx, r *transfer.Record, next Message, entries func(key string, m Message) []layout.Entry) error {
	key := string(r.Key)
	old, err := kv.Find[Record, Message](t, layout.Key(layout.TableOfKind(r.Kind).Prefix, r.Key))
	if err != nil {
		return err
	}
	var was, is []layout.Entry
	if old != nil {
		was = entries(key, old)
	}
	if !r.Deleted {
		is = entries(key, next)
	}
	replaceEntries(t, was, is)
	putRecord(t, r)
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
	for _, c := range clients {
		if err := listClient(t, next, c, +1); err != nil {
			return err
		}
	}
	next.IndexedDue = 0
	return insertSession(t, next)
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

// importNotification drops the claim.
func importNotification(t *kv.Tx, r *transfer.Record, next *records.Notification) error {
	id := string(r.Key)
	old, err := kv.Find[records.Notification](t, layout.NotificationKey(id))
	if err != nil {
		return err
	}
	if old != nil {
		dropNotification(t, id, old)
	}
	if r.Deleted {
		return nil
	}
	rules.Release(next)
	return saveNotification(t, id, next, nil)
}
