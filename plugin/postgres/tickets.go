package postgres

// Sessions: created, renewed and read. Properties.

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
	if err := session.Validate(); err != nil {
		return err
	}
	p := planOf(session.SessionID).session(session.SessionID).cookie(session.Key)
	return s.update(ctx, session.Created, p, func(t *tx) error {
		_, err := t.create(session)
		return err
	})
}

// create reports whether the session was created before. Of two at once the unique indexes of sid and cookie
// let one commit; the other is tried again and finds it. An ended record under the sid was a session before.
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

const limitSubject = `INSERT INTO {s}.limits (subject, at) VALUES ($1, $2)
	ON CONFLICT (subject) DO UPDATE SET at = EXCLUDED.at`

// makeRoom bounds the sessions that one transaction ends to make room for another.
const makeRoom = 16

// CreateWithin counts under the row of the subject, which every sign-in under a limit writes first: two at
// once, at any hosts, go one after the other.
func (s tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) (ended []string, err error) {
	if err := errors.Join(session.Validate(), limit.Validate()); err != nil {
		return nil, err
	}
	p := planOf(session.SubjectID).session(session.SessionID).cookie(session.Key)
	repeated := false
	for created := false; !created; {
		var sids []string
		err := s.update(ctx, now, p, func(t *tx) (err error) {
			created, sids = false, nil
			if again, err := t.create(session); err != nil || again {
				created, repeated = again, again
				return err
			}
			t.exec(limitSubject, session.SubjectID, records.Nanos(now))
			live := slices.DeleteFunc(t.sessionsOf(session.SubjectID), func(sid string) bool {
				return sid == session.SessionID || !rules.Live(t.session(sid), now)
			})
			excess, err := rules.Excess(len(live), &limit)
			if err != nil {
				return err
			}
			created = excess <= makeRoom
			for _, sid := range live[:min(excess, makeRoom)] {
				c := closing{tx: t, ending: rules.Displacement(sid, &limit), limit: inline}
				c.run(sid)
				sids, t.awaited = append(sids, sid), true
			}
			if !created {
				t.remove(t.row(transfer.Sessions, session.SessionID))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		ended = append(ended, sids...)
		s.purgeBehind(sids, now)
	}
	if len(ended) > 0 || repeated {
		if err := s.everywhere(ctx); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// sessionsOf returns the sids of a subject, the oldest session first. All of them are read.
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
	var found *ticketstore.Session
	err := s.find(ctx, anyTime, new(plan).cookie(key), func(t *tx) error {
		record := t.byCookie(key)
		if record == nil {
			return missing("session")
		}
		found = records.SessionOf(record)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func (s tickets) Find(ctx context.Context, sid string) (*ticketstore.SessionDetail, error) {
	if err := ticketstore.CheckID("session_id", sid); err != nil {
		return nil, err
	}
	var detail *ticketstore.SessionDetail
	err := s.find(ctx, anyTime, new(plan).session(sid), func(t *tx) error {
		if t.session(sid) == nil {
			return missing("session")
		}
		detail = t.detail(sid)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return detail, nil
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
	var renewed *ticketstore.Session
	err := s.update(ctx, now, p, func(t *tx) error {
		record := proto.CloneOf(t.byCookie(renewal.Key))
		if record == nil {
			return missing("session")
		}
		if err := rules.Renew(record, &renewal, now); err != nil {
			return err
		}
		t.put(transfer.Sessions, record.SessionId, record)
		renewed = records.SessionOf(record)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return renewed, nil
}

func (s tickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	p := planOf(string(rekey.Key[:])).cookie(rekey.Key).cookie(rekey.NewKey)
	var session *ticketstore.Session
	err := s.update(ctx, now, p, func(t *tx) error {
		record := t.byCookie(rekey.Key)
		if record == nil {
			return missing("session")
		}
		next, err := rules.Rekey(record, &rekey, t.byCookie(rekey.NewKey) != nil, now)
		if err != nil {
			return err
		}
		t.put(transfer.Sessions, next.SessionId, proto.CloneOf(next))
		session = records.SessionOf(next)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return session, nil
}

func (p properties) Property(ctx context.Context, name string) ([]byte, error) {
	if err := ticketstore.CheckPropertyName(name); err != nil {
		return nil, err
	}
	var value []byte
	err := p.view(ctx, anyTime, func(t *tx) error {
		value = slices.Clone(at[*records.Property](t.group, transfer.Properties, name).GetValue())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

const lockLedger = "UPDATE {s}.ledger SET state = state"

// SetProperty writes the ledger's row too: of two that add the last property that there is room for, one
// waits for the other.
func (p properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	if err := ticketstore.CheckProperty(name, value); err != nil {
		return err
	}
	return p.update(ctx, anyTime, planOf("properties"), func(t *tx) error {
		t.exec(lockLedger)
		t.index("properties", query{table: propertyTable, where: "true"})
		all := t.known(transfer.Properties, func(*row) bool { return true })
		is := at[*records.Property](t.group, transfer.Properties, name).GetValue()
		change, err := rules.SetProperty(is, old, value, len(all))
		switch {
		case err != nil || !change:
			return err
		case len(value) == 0:
			t.remove(t.row(transfer.Properties, name))
		default:
			t.put(transfer.Properties, name, &records.Property{Value: slices.Clone(value)})
		}
		return nil
	})
}
