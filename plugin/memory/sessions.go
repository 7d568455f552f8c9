package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type tickets struct{ s *Store }

var _ ticketstore.Store = tickets{}

func (s tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := session.Validate(); err != nil {
		return err
	}
	return s.s.change(ctx, time.Time{}, func(t *tx) error {
		_, err := t.create(session)
		return err
	})
}

func (s tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) (ended []string, err error) {
	if err := errors.Join(session.Validate(), limit.Validate()); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, now, func(t *tx) error {
		var live []string
		for _, r := range t.rows(sessionsOf(session.SubjectID)) {
			if rules.Live(t.session(r.key), now) {
				live = append(live, r.key)
			}
		}
		again, err := t.create(session)
		if err != nil || again {
			return err
		}
		excess, err := rules.Excess(len(live), &limit)
		ended = live[:excess]
		for _, sid := range ended {
			t.end(rules.Displacement(sid, &limit), sid)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return ended, nil
}

// create reports whether the session was created before.
func (t *tx) create(session *ticketstore.Session) (again bool, err error) {
	sid := session.SessionID
	taken := t.session(sid) != nil || t.ended(sid) != nil
	again, err = rules.Create(session, t.byCookie(session.Key).GetSessionId(), taken)
	if err != nil || again {
		return again, err
	}
	record := records.FromSession(session)
	record.Version = 1
	t.save(transfer.Sessions, sid, record)
	return false, nil
}

// byCookie returns nil where there is no such session.
func (t *tx) byCookie(key ticketstore.Key) *records.Session {
	e, found := t.tree.Get(entry{name: "k" + string(key[:])})
	if !found {
		return nil
	}
	return t.session(e.row.key)
}

// sessionsOf is the index of a subject's sessions.
func sessionsOf(subject string) string { return "u" + subject + "\x00" }

var errNoSession = fmt.Errorf("session: %w", ticketstore.ErrNotFound)

func (s tickets) Get(ctx context.Context, key ticketstore.Key) (session *ticketstore.Session, err error) {
	err = s.s.view(ctx, time.Time{}, func(t *tx) error {
		record := t.byCookie(key)
		if record == nil {
			return errNoSession
		}
		session = records.SessionOf(proto.CloneOf(record))
		return nil
	})
	return session, err
}

func (s tickets) Find(ctx context.Context, sessionID string) (detail *ticketstore.SessionDetail, err error) {
	if err := ticketstore.CheckID("session_id", sessionID); err != nil {
		return nil, err
	}
	err = s.s.view(ctx, time.Time{}, func(t *tx) error {
		record := t.session(sessionID)
		if record == nil {
			return errNoSession
		}
		detail = t.detail(record)
		return nil
	})
	return detail, err
}

// client is a client's row in a session.
type client struct {
	id  string
	use *records.ClientUse
}

// clients returns copies of those of a session, detached ones too, sorted by id.
func (t *tx) clients(sid string) (clients []client) {
	for _, r := range t.rows(nameOf(transfer.Clients, sid+"\x00")) {
		id := r.key[len(sid)+1:]
		clients = append(clients, client{id, proto.CloneOf(t.use(sid, id))})
	}
	return clients
}

func (t *tx) detail(record *records.Session) *ticketstore.SessionDetail {
	detail := &ticketstore.SessionDetail{Session: *records.SummaryOf(proto.CloneOf(record))}
	for _, c := range t.clients(record.GetSessionId()) {
		if rules.Shown(c.use) {
			detail.Clients = append(detail.Clients, records.ClientUseOf(c.id, c.use))
		}
	}
	slices.SortStableFunc(detail.Clients, func(a, b ticketstore.ClientUse) int {
		return a.FirstUsed.Compare(b.FirstUsed)
	})
	return detail
}

func (s tickets) Renew(
	ctx context.Context, renewal ticketstore.Renewal, now time.Time,
) (session *ticketstore.Session, err error) {
	err = s.s.change(ctx, now, func(t *tx) error {
		record := proto.CloneOf(t.byCookie(renewal.Key))
		if record == nil {
			return errNoSession
		}
		if err := rules.Renew(record, &renewal, now); err != nil {
			return err
		}
		t.save(transfer.Sessions, record.SessionId, record)
		session = records.SessionOf(record)
		return nil
	})
	return session, err
}

func (s tickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (session *ticketstore.Session, err error) {
	err = s.s.change(ctx, now, func(t *tx) error {
		record := t.byCookie(rekey.Key)
		if record == nil {
			return errNoSession
		}
		next, err := rules.Rekey(record, &rekey, now)
		if err != nil {
			return err
		}
		if rekey.NewKey != rekey.Key && t.byCookie(rekey.NewKey) != nil {
			return fmt.Errorf("new session key: %w", ticketstore.ErrExists)
		}
		t.save(transfer.Sessions, next.SessionId, next)
		session = records.SessionOf(next)
		return nil
	})
	return session, err
}

func (s tickets) Query(
	ctx context.Context, query ticketstore.SessionQuery,
) (result *ticketstore.Page, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	f, matches, index := walk.Filter, walk.Filter.Matcher(), "l"
	if f.SubjectID != "" {
		index = sessionsOf(f.SubjectID)
	}
	err = s.s.view(ctx, time.Time{}, func(t *tx) (err error) {
		match := func(r *row) bool {
			return matches(records.SummaryOf(t.session(r.key))) &&
				(f.ClientID == "" || rules.Shown(t.use(r.key, f.ClientID)))
		}
		rows, place := page(t, index, walk, match)
		result = &ticketstore.Page{HasPrev: place.HasPrev, HasNext: place.HasNext}
		for _, r := range rows {
			result.Sessions = append(result.Sessions, *t.detail(t.session(r.key)))
		}
		for _, r := range t.rows(index) {
			if match(r) {
				result.TotalCount++
			}
		}
		rules.Number(result, walk)
		result.ResultsToken, err = rules.Token(walk, place, result.CurrentPage)
		return err
	})
	return result, err
}

type properties struct{ s *Store }

var _ ticketstore.Properties = properties{}

func (p properties) Property(ctx context.Context, name string) (value []byte, err error) {
	if err := ticketstore.CheckPropertyName(name); err != nil {
		return nil, err
	}
	err = p.s.view(ctx, time.Time{}, func(t *tx) error {
		value = get[*records.Property](t, transfer.Properties, name).GetValue()
		value = slices.Clone(value)
		return nil
	})
	return value, err
}

func (p properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	if err := ticketstore.CheckProperty(name, value); err != nil {
		return err
	}
	return p.s.change(ctx, time.Time{}, func(t *tx) error {
		is := get[*records.Property](t, transfer.Properties, name).GetValue()
		change, err := rules.SetProperty(is, old, value, len(t.rows(nameOf(transfer.Properties, ""))))
		switch {
		case err != nil || !change:
			return err
		case len(value) == 0:
			t.delete(transfer.Properties, name)
		default:
			t.save(transfer.Properties, name, &records.Property{Value: value})
		}
		return nil
	})
}
