package badger

// Sessions (s), their index entries by cookie, subject, client, creation and expiry (k u i l x), their
// clients (c) and the counts of live sessions (n).

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type tickets struct{ e *Engine }

var _ ticketstore.Store = tickets{}

func (s tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := session.Validate(); err != nil {
		return err
	}
	record := rules.NewSession(session)
	return s.e.update(ctx, func(tx *kv.Tx) error {
		again, err := createdBefore(tx, session)
		if err != nil || again {
			return err
		}
		return insertSession(tx, record)
	})
}

func insertSession(t *kv.Tx, record *records.Session) error {
	t.Put(layout.Key(layout.TableCookie, record.Key), []byte(record.SessionId))
	t.Put(layout.SessionPosition(layout.IndexSubject, layout.More(record.SubjectId), record), nil)
	if err := countSession(t, "", +1); err != nil {
		return err
	}
	return saveSession(t, record, true)
}

// createdBefore reports whether this very session was created before and the answer was lost.
func createdBefore(r kv.Reader, session *ticketstore.Session) (bool, error) {
	sid, err := r.Get(layout.CookieKey(session.Key))
	if err != nil {
		return false, err
	}
	taken := false
	for _, k := range [][]byte{layout.SessionKey(session.SessionID), layout.EndedKey(session.SessionID)} {
		row, err := r.Get(k)
		if err != nil {
			return false, err
		}
		taken = taken || row != nil
	}
	return rules.Create(session, string(sid), taken)
}

func (s tickets) Get(ctx context.Context, k ticketstore.Key) (session *ticketstore.Session, err error) {
	err = s.e.db.View(ctx, func(r *kv.Snapshot) error {
		record, err := sessionByCookie(r, k)
		if err == nil {
			session = records.SessionOf(record)
		}
		return err
	})
	return session, err
}

func (s tickets) Find(ctx context.Context, sessionID string) (*ticketstore.SessionDetail, error) {
	invalid := ticketstore.CheckID("session_id", sessionID)
	return read(ctx, s.e, invalid, func(r *kv.Snapshot) (*ticketstore.SessionDetail, error) {
		record, err := loadSession(r, sessionID)
		switch {
		case err != nil:
			return nil, err
		case record == nil:
			return nil, fmt.Errorf("session: %w", ticketstore.ErrNotFound)
		}
		return detailOf(r, record)
	})
}

func (s tickets) Renew(
	ctx context.Context, renewal ticketstore.Renewal, now time.Time,
) (session *ticketstore.Session, err error) {
	err = s.e.update(ctx, func(tx *kv.Tx) error {
		record, err := sessionByCookie(tx, renewal.Key)
		if err != nil {
			return err
		}
		if err := rules.Renew(record, &renewal, now); err != nil {
			return err
		}
		session = records.SessionOf(record)
		return saveSession(tx, record, false)
	})
	return session, err
}

func (s tickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (session *ticketstore.Session, err error) {
	err = s.e.update(ctx, func(tx *kv.Tx) error {
		record, err := sessionByCookie(tx, rekey.Key)
		if err != nil {
			return err
		}
		taken, err := tx.Get(layout.CookieKey(rekey.NewKey))
		if err != nil {
			return err
		}
		next, err := rules.Rekey(record, &rekey, taken != nil, now)
		if err != nil {
			return err
		}
		if rekey.NewKey != rekey.Key {
			tx.Delete(layout.CookieKey(rekey.Key))
			tx.Put(layout.CookieKey(rekey.NewKey), []byte(record.SessionId))
		}
		session = records.SessionOf(next)
		// The session may now be due earlier than its index entry, and must not be found late.
		return saveSession(tx, next, records.Nanos(rules.Due(next)) < next.IndexedDue)
	})
	return session, err
}

func sessionByCookie(r kv.Reader, k ticketstore.Key) (*records.Session, error) {
	sid, err := r.Get(layout.CookieKey(k))
	if err != nil {
		return nil, err
	}
	if sid == nil {
		return nil, fmt.Errorf("session: %w", ticketstore.ErrNotFound)
	}
	record, err := loadSession(r, string(sid))
	if err == nil && record == nil {
		return nil, fmt.Errorf("session of a cookie's index entry: %w", ticketstore.ErrNotFound)
	}
	return record, err
}

// loadSession returns a session, or nil.
func loadSession(r kv.Reader, sid string) (*records.Session, error) {
	return kv.Find[records.Session](r, layout.SessionKey(sid))
}

// saveSession writes the session and its row in the listing and, if reindex is set, its entry in the expiry
// index.
func saveSession(t *kv.Tx, record *records.Session, reindex bool) error {
	if reindex {
		if record.IndexedDue != 0 {
			t.Delete(layout.ExpiryKey(record.IndexedDue, record.SessionId))
		}
		record.IndexedDue = records.Nanos(rules.Due(record))
		t.Put(layout.ExpiryKey(record.IndexedDue, record.SessionId), nil)
	}
	if err := t.Save(layout.SessionKey(record.SessionId), record); err != nil {
		return err
	}
	ticket := record.Ticket
	record.Ticket = nil
	err := t.Save(layout.SessionPosition(layout.IndexListing, nil, record), record)
	record.Ticket = ticket
	return err
}

// dropSession removes all rows of a session except those of its clients.
func dropSession(t *kv.Tx, record *records.Session) error {
	t.Delete(layout.SessionKey(record.SessionId))
	t.Delete(layout.Key(layout.TableCookie, record.Key))
	t.Delete(layout.SessionPosition(layout.IndexListing, nil, record))
	t.Delete(layout.SessionPosition(layout.IndexSubject, layout.More(record.SubjectId), record))
	t.Delete(layout.ExpiryKey(record.IndexedDue, record.SessionId))
	return countSession(t, "", -1)
}

// countSession changes the number of live sessions of a client, or of all if client is empty. It is exact
// because the committer is the only writer.
func countSession(t *kv.Tx, client string, by int) error {
	n, err := counted(t, client)
	switch {
	case err != nil:
		return err
	case n+by == 0: // or clients of the past would be as many as ever registered
		t.Delete(layout.CountKey(client))
	default:
		t.Put(layout.CountKey(client), binary.AppendVarint(nil, int64(n+by)))
	}
	return nil
}

// listClient adds a session to the listing and count of one of its clients (by is 1), or removes it (-1). A
// detached client has neither.
func listClient(t *kv.Tx, session *records.Session, c steps.Client, by int) error {
	if c.Use.GetDetached() {
		return nil
	}
	return listSession(t, session, c.ID, by)
}

func listSession(t *kv.Tx, session *records.Session, client string, by int) error {
	if k := layout.SessionPosition(layout.IndexClient, layout.More(client), session); by > 0 {
		t.Put(k, nil)
	} else {
		t.Delete(k)
	}
	return countSession(t, client, by)
}

func counted(r kv.Reader, client string) (int, error) {
	value, err := r.Get(layout.CountKey(client))
	if err != nil || value == nil {
		return 0, err
	}
	n, _ := binary.Varint(value)
	return int(n), nil
}

// clientsOf returns the rows of all clients of a session, including detached ones, sorted by id.
func clientsOf(r kv.Reader, sid string) (clients []steps.Client, err error) {
	prefix := layout.ClientUsePrefix(sid)
	err = r.Scan(prefix, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		v, err := value()
		if err != nil {
			return false, err
		}
		client := steps.Client{ID: string(k[len(prefix):]), Use: &records.ClientUse{}}
		err = layout.Decode(k, v, client.Use)
		client.Damaged = layout.IsDamage(err)
		clients = append(clients, client)
		return true, r.StepOver(err)
	})
	return clients, err
}

func detailOf(r kv.Reader, record *records.Session) (*ticketstore.SessionDetail, error) {
	detail := &ticketstore.SessionDetail{Session: *records.SummaryOf(record)}
	clients, err := clientsOf(r, record.GetSessionId())
	for _, c := range clients {
		if !c.Damaged && rules.Shown(c.Use) {
			detail.Clients = append(detail.Clients, records.ClientUseOf(c.ID, c.Use))
		}
	}
	slices.SortStableFunc(detail.Clients, func(a,
		b ticketstore.ClientUse) int {
		return a.FirstUsed.Compare(b.FirstUsed)
	})
	return detail, err
}
