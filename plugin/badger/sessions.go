package badger

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type tickets struct{ e *Engine }

var _ ticketstore.Store = tickets{}

func (s tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := session.Validate(); err != nil {
		return err
	}
	record := records.FromSession(session)
	record.Version = 1
	return s.e.update(ctx, func(tx *tx) error {
		again, err := createdBefore(tx, session)
		if err != nil || again {
			return err
		}
		return tx.insertSession(record)
	})
}

func (t *tx) insertSession(record *records.Session) error {
	t.put(key(tableCookie, record.Key), []byte(record.SessionId))
	t.put(sessionPosition(indexSubject, more(record.SubjectId), record), nil)
	if err := t.count("", +1); err != nil {
		return err
	}
	return t.saveSession(record, true)
}

// createdBefore tells whether this very session was created already: its answer was lost.
func createdBefore(r reader, session *ticketstore.Session) (bool, error) {
	sid, err := r.get(cookieKey(session.Key))
	if err != nil {
		return false, err
	}
	if string(sid) == session.SessionID {
		return true, nil
	}
	for _, k := range [][]byte{sessionKey(session.SessionID), endedKey(session.SessionID)} {
		taken, err := r.get(k)
		if err != nil {
			return false, err
		}
		if taken != nil {
			return false, fmt.Errorf("session id: %w", ticketstore.ErrExists)
		}
	}
	if sid != nil {
		return false, fmt.Errorf("session key: %w", ticketstore.ErrExists)
	}
	return false, nil
}

func (s tickets) Get(ctx context.Context, k ticketstore.Key) (session *ticketstore.Session, err error) {
	err = s.e.view(ctx, func(r reader) error {
		record, err := sessionByCookie(r, k)
		if err == nil {
			session = records.SessionOf(record)
		}
		return err
	})
	return session, err
}

func (s tickets) Find(ctx context.Context, sessionID string) (detail *ticketstore.SessionDetail, err error) {
	if err := ticketstore.CheckID("session_id", sessionID); err != nil {
		return nil, err
	}
	err = s.e.view(ctx, func(r reader) error {
		record, err := loadSession(r, sessionID)
		if err != nil {
			return err
		}
		if record == nil {
			return fmt.Errorf("session: %w", ticketstore.ErrNotFound)
		}
		detail, err = detailOf(r, record)
		return err
	})
	return detail, err
}

func (s tickets) Renew(ctx context.Context, renewal ticketstore.Renewal, now time.Time) (session *ticketstore.Session, err error) {
	err = s.e.update(ctx, func(tx *tx) error {
		record, err := sessionByCookie(tx, renewal.Key)
		if err != nil {
			return err
		}
		if err := rules.Renew(record, &renewal, now); err != nil {
			return err
		}
		session = records.SessionOf(record)
		return tx.saveSession(record, false)
	})
	return session, err
}

func (s tickets) Rekey(ctx context.Context, rekey ticketstore.Rekey, now time.Time) (session *ticketstore.Session, err error) {
	err = s.e.update(ctx, func(tx *tx) error {
		record, err := sessionByCookie(tx, rekey.Key)
		if err != nil {
			return err
		}
		next, err := rules.Rekey(record, &rekey, now)
		if err != nil {
			return err
		}
		if rekey.NewKey != rekey.Key {
			taken, err := tx.get(cookieKey(rekey.NewKey))
			if err != nil {
				return err
			}
			if taken != nil {
				return fmt.Errorf("new session key: %w", ticketstore.ErrExists)
			}
			tx.delete(cookieKey(rekey.Key))
			tx.put(cookieKey(rekey.NewKey), []byte(record.SessionId))
		}
		session = records.SessionOf(next)
		// The session may end earlier now than the index knows: it must not be found late.
		return tx.saveSession(next, records.Nanos(rules.Due(next)) < next.IndexedDue)
	})
	return session, err
}

func sessionByCookie(r reader, k ticketstore.Key) (*records.Session, error) {
	sid, err := r.get(cookieKey(k))
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

// loadSession returns nil where there is no such session.
func loadSession(r reader, sid string) (*records.Session, error) {
	record := &records.Session{}
	found, err := load(r, sessionKey(sid), record)
	if err != nil || !found {
		return nil, err
	}
	return record, nil
}

// sessionPosition is the place of a session in a listing ordered by creation.
func sessionPosition(index, owner []byte, record *records.Session) []byte {
	return key(index, owner, timeKey(record.GetCreated()), last(record.GetSessionId()))
}

// saveSession writes the session and its row in the listing, and its place in the expiry index when reindex is set.
func (t *tx) saveSession(record *records.Session, reindex bool) error {
	if reindex {
		if record.IndexedDue != 0 {
			t.delete(key(indexExpiry, timeKey(record.IndexedDue), last(record.SessionId)))
		}
		record.IndexedDue = records.Nanos(rules.Due(record))
		t.put(key(indexExpiry, timeKey(record.IndexedDue), last(record.SessionId)), nil)
	}
	if err := t.save(sessionKey(record.SessionId), record); err != nil {
		return err
	}
	ticket := record.Ticket
	record.Ticket = nil
	err := t.save(sessionPosition(indexListing, nil, record), record)
	record.Ticket = ticket
	return err
}

// dropSession removes everything of a session but its clients' rows.
func (t *tx) dropSession(record *records.Session) error {
	t.delete(sessionKey(record.SessionId))
	t.delete(key(tableCookie, record.Key))
	t.delete(sessionPosition(indexListing, nil, record))
	t.delete(sessionPosition(indexSubject, more(record.SubjectId), record))
	t.delete(key(indexExpiry, timeKey(record.IndexedDue), last(record.SessionId)))
	return t.count("", -1)
}

// count changes the number of live sessions, of a client or (empty) of all. The committer being the only writer, it is exact.
func (t *tx) count(client string, by int) error {
	n, err := counted(t, client)
	if err == nil {
		t.put(countKey(client), binary.AppendVarint(nil, int64(n+by)))
	}
	return err
}

func counted(r reader, client string) (int, error) {
	value, err := r.get(countKey(client))
	if err != nil || value == nil {
		return 0, err
	}
	n, _ := binary.Varint(value)
	return int(n), nil
}

// usedClient is a client's row in a session.
type usedClient struct {
	id  string
	use *records.ClientUse
	// damaged: nobody knows what the row says.
	damaged bool
}

// clientsOf returns the rows of all clients of a session, detached ones too, sorted by id.
func clientsOf(r reader, sid string) (clients []usedClient, err error) {
	prefix := clientUsePrefix(sid)
	err = r.scan(prefix, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		v, err := value()
		if err != nil {
			return false, err
		}
		client := usedClient{id: string(k[len(prefix):]), use: &records.ClientUse{}}
		err = decode(k, v, client.use)
		client.damaged = isDamage(err)
		clients = append(clients, client)
		return true, r.stepOver(err)
	})
	return clients, err
}

func detailOf(r reader, record *records.Session) (*ticketstore.SessionDetail, error) {
	detail := &ticketstore.SessionDetail{Session: *records.SummaryOf(record)}
	clients, err := clientsOf(r, record.GetSessionId())
	for _, c := range clients {
		if !c.damaged && !c.use.GetDetached() {
			detail.Clients = append(detail.Clients, records.ClientUseOf(c.id, c.use))
		}
	}
	slices.SortStableFunc(detail.Clients, func(a, b ticketstore.ClientUse) int { return a.FirstUsed.Compare(b.FirstUsed) })
	return detail, err
}
