package postgres

// Sessions: creation, renewal and reading. Properties.

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	p := planOf(session.SessionID).session(session.SessionID).cookie(session.Key)
	_, err := update(ctx, s.Engine, session.Created, session.Validate(), p, func(t *tx) (bool, error) {
		return t.create(session)
	})
	return err
}

// create reports whether the session was created before. Of two concurrent ones the unique indexes of sid and
// cookie let one commit; the other is retried and finds it. An ended record with the sid was a session
// before.
func (t *tx) create(session *ticketstore.Session) (again bool, err error) {
	sid := session.SessionID
	taken := t.session(sid) != nil || t.ended(sid) != nil
	again, err = rules.Create(session, t.byCookie(session.Key).GetSessionId(), taken)
	if err != nil || again {
		return again, err
	}
	t.put(transfer.Sessions, sid, proto.CloneOf(rules.NewSession(session)))
	return false, nil
}

const (
	limitSubject = `INSERT INTO {s}.limits (subject, at) VALUES ($1, $2)
		ON CONFLICT (subject) DO UPDATE SET at = EXCLUDED.at`
	forgetLimit = "DELETE FROM {s}.limits WHERE subject = $1"
)

// limit makes other sign-ins of the subject under a limit wait until this transaction has ended. They wait
// for a row that is never committed: it is deleted at once.
func (t *tx) limit(subject string) {
	if t.err == nil {
		list := []statement{
			{limitSubject, []any{subject, records.Nanos(t.now)}}, {forgetLimit, []any{subject}},
		}
		t.fail(t.conn.SendBatch(t.ctx, t.batch(list)).Close())
	}
}

// makeRoom bounds the sessions that one transaction ends to make room for a new one.
const makeRoom = 64

// CreateWithin counts under the row of the subject, which every sign-in under a limit writes first:
// concurrent ones, on any hosts, are serialized.
func (s tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) (ended []string, err error) {
	if err := errors.Join(session.Validate(), limit.Validate()); err != nil {
		return nil, err
	}
	type step struct {
		created bool
		ended   []string
	}
	p := planOf(session.SubjectID).session(session.SessionID).cookie(session.Key)
	for {
		done, err := update(ctx, s.Engine, now, nil, p, func(t *tx) (done step, err error) {
			if done.created, err = t.create(session); err != nil || done.created {
				t.ends = true // whose answer was lost
				return done, err
			}
			t.limit(session.SubjectID)
			live := slices.DeleteFunc(t.sessionsOf(session.SubjectID), func(sid string) bool {
				return sid == session.SessionID || !rules.Live(t.session(sid), now)
			})
			excess, err := rules.Excess(len(live), &limit)
			if err != nil {
				return done, err
			}
			ending := live[:min(excess, makeRoom)]
			t.needSessions(ending)
			for _, sid := range ending {
				t.end(rules.Displacement(sid, &limit), sid, maxInline)
				done.ended, t.ends = append(done.ended, sid), true
			}
			// Created by the last of several transactions: until then it is not visible, and not counted.
			if done.created = excess <= makeRoom; !done.created {
				t.remove(t.row(transfer.Sessions, session.SessionID))
			}
			return done, nil
		})
		if err != nil {
			return nil, err
		}
		s.purgeLater(done.ended, now)
		if ended = append(ended, done.ended...); done.created {
			return ended, nil
		}
	}
}

// sessionsOf returns the sids of a subject's sessions, oldest first. It reads all the sessions.
func (t *tx) sessionsOf(subject string) []string {
	sids := t.strings("SELECT sid FROM {s}.sessions WHERE subject = $1 ORDER BY created, sid", subject)
	t.need(transfer.Sessions, sids...)
	mine := t.known(transfer.Sessions, func(r *row) bool { return session(r).GetSubjectId() == subject })
	slices.SortFunc(mine, func(a, b *row) int {
		return slices.Compare(records.SessionPosition(session(a)), records.SessionPosition(session(b)))
	})
	sids = sids[:0]
	for _, r := range mine {
		sids = append(sids, r.key)
	}
	return sids
}

func (s tickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	p := new(plan).cookie(key)
	return find(ctx, s.Engine, anyTime, nil, p, func(t *tx) (*ticketstore.Session, error) {
		if record := t.byCookie(key); record != nil {
			return records.SessionOf(record), nil
		}
		return nil, missing("session")
	})
}

func (s tickets) Find(ctx context.Context, sid string) (*ticketstore.SessionDetail, error) {
	invalid, p := ticketstore.CheckID("session_id", sid), new(plan).session(sid)
	return find(ctx, s.Engine, anyTime, invalid, p, func(t *tx) (*ticketstore.SessionDetail, error) {
		if t.session(sid) == nil {
			return nil, missing("session")
		}
		return t.detail(sid), nil
	})
}

func (t *tx) detail(sid string) *ticketstore.SessionDetail {
	detail := &ticketstore.SessionDetail{Session: *records.SummaryOf(t.session(sid))}
	for _, r := range t.clients(sid) {
		if use := message[*records.ClientUse](r); rules.Shown(use) {
			_, client := splitClient(r.key)
			detail.Clients = append(detail.Clients, records.ClientUseOf(client, use))
		}
	}
	slices.SortStableFunc(detail.Clients, func(a, b ticketstore.ClientUse) int {
		return a.FirstUsed.Compare(b.FirstUsed)
	})
	return detail
}

func (s tickets) Renew(
	ctx context.Context, renewal ticketstore.Renewal, now time.Time,
) (*ticketstore.Session, error) {
	p := planOf(string(renewal.Key[:])).cookie(renewal.Key)
	// Of two concurrent renewals the later one waits for the row, and finds a different version (rule 9).
	return update(ctx, s.Engine, now, nil, p, func(t *tx) (*ticketstore.Session, error) {
		record := proto.CloneOf(t.byCookie(renewal.Key))
		if record == nil {
			return nil, missing("session")
		}
		if err := rules.Renew(record, &renewal, now); err != nil {
			return nil, err
		}
		t.put(transfer.Sessions, record.SessionId, record)
		return records.SessionOf(record), nil
	})
}

func (s tickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	p := planOf(string(rekey.Key[:])).cookie(rekey.Key).cookie(rekey.NewKey)
	return update(ctx, s.Engine, now, nil, p, func(t *tx) (*ticketstore.Session, error) {
		record := t.byCookie(rekey.Key)
		if record == nil {
			return nil, missing("session")
		}
		// The unique index of cookies rejects a new key that another transaction takes concurrently.
		next, err := rules.Rekey(record, &rekey, t.byCookie(rekey.NewKey) != nil, now)
		if err != nil {
			return nil, err
		}
		t.put(transfer.Sessions, next.SessionId, proto.CloneOf(next))
		return records.SessionOf(next), nil
	})
}

func (p properties) Property(ctx context.Context, name string) ([]byte, error) {
	return view(ctx, p.Engine, anyTime, ticketstore.CheckPropertyName(name), func(t *tx) ([]byte, error) {
		return slices.Clone(at[*records.Property](t.group, transfer.Properties, name).GetValue()), nil
	})
}

const lockLedger = "UPDATE {s}.ledger SET state = state"

// SetProperty writes the ledger's row too: of two calls that add the last allowed property, one waits for the
// other.
func (p properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	invalid := ticketstore.CheckProperty(name, value)
	_, err := update(ctx, p.Engine, anyTime, invalid, planOf("properties"), func(t *tx) (bool, error) {
		t.exec(lockLedger)
		t.index("properties", query{table: propertyTable, where: "true"})
		all := t.known(transfer.Properties, func(*row) bool { return true })
		is := at[*records.Property](t.group, transfer.Properties, name).GetValue()
		change, err := rules.SetProperty(is, old, value, len(all))
		switch {
		case err != nil || !change:
		case len(value) == 0:
			t.remove(t.row(transfer.Properties, name))
		default:
			t.put(transfer.Properties, name, &records.Property{Value: slices.Clone(value)})
		}
		return change, err
	})
	return err
}
