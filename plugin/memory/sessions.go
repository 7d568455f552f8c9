package memory

// Sessions: creation, renewal, reading and listing. Properties.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// anyTime is the now of a request that does not depend on time.
var anyTime time.Time

func (s tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	_, err := change(ctx, s.Store, anyTime, session.Validate(), func(t *tx) (bool, error) {
		return t.create(session)
	})
	return err
}

// create creates a session. It reports whether the session was created before.
func (t *tx) create(session *ticketstore.Session) (again bool, err error) {
	sid := session.SessionID
	taken := t.session(sid) != nil || t.ended(sid) != nil
	again, err = rules.Create(session, t.byCookie(session.Key).GetSessionId(), taken)
	if err != nil || again {
		return again, err
	}
	t.save(transfer.Sessions, sid, rules.NewSession(session))
	return false, nil
}

func (s tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) ([]string, error) {
	invalid := errors.Join(session.Validate(), limit.Validate())
	return change(ctx, s.Store, now, invalid, func(t *tx) (ended []string, err error) {
		live := t.where(sessionsOf(session.SubjectID), func(r *row) bool {
			return rules.Live(t.session(r.key), now)
		})
		if again, err := t.create(session); err != nil || again {
			return nil, err
		}
		excess, err := rules.Excess(len(live), &limit)
		if err != nil {
			return nil, err
		}
		for _, r := range live[:excess] {
			t.end(rules.Displacement(r.key, &limit), r.key)
			ended = append(ended, r.key)
		}
		return ended, nil
	})
}

// byCookie returns the session with a key, or nil.
func (t *tx) byCookie(key ticketstore.Key) *records.Session {
	if e, found := t.tree.Get(entry{name: "k" + string(key[:])}); found {
		return t.session(e.row.key)
	}
	return nil
}

func missing(what string) error { return fmt.Errorf("%s: %w", what, ticketstore.ErrNotFound) }

func (s tickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	return view(ctx, s.Store, anyTime, nil, func(t *tx) (*ticketstore.Session, error) {
		if record := t.byCookie(key); record != nil {
			return records.SessionOf(proto.CloneOf(record)), nil
		}
		return nil, missing("session")
	})
}

func (s tickets) Find(ctx context.Context, sid string) (*ticketstore.SessionDetail, error) {
	invalid := ticketstore.CheckID("session_id", sid)
	return view(ctx, s.Store, anyTime, invalid, func(t *tx) (*ticketstore.SessionDetail, error) {
		if t.session(sid) == nil {
			return nil, missing("session")
		}
		return t.detail(sid), nil
	})
}

// client returns the client id of a client's row and a copy of its use.
func (r *row) client() (id string, use *records.ClientUse) {
	_, id, _ = strings.Cut(r.key, "\x00")
	return id, proto.CloneOf(messageOf[*records.ClientUse](r))
}

func (t *tx) detail(sid string) *ticketstore.SessionDetail {
	detail := &ticketstore.SessionDetail{Session: *records.SummaryOf(proto.CloneOf(t.session(sid)))}
	for _, r := range t.rows(clientsOf(sid)) {
		if id, use := r.client(); rules.Shown(use) {
			detail.Clients = append(detail.Clients, records.ClientUseOf(id, use))
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
	return change(ctx, s.Store, now, nil, func(t *tx) (*ticketstore.Session, error) {
		record := proto.CloneOf(t.byCookie(renewal.Key))
		if record == nil {
			return nil, missing("session")
		}
		if err := rules.Renew(record, &renewal, now); err != nil {
			return nil, err
		}
		t.save(transfer.Sessions, record.SessionId, record)
		return records.SessionOf(record), nil
	})
}

func (s tickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	return change(ctx, s.Store, now, nil, func(t *tx) (*ticketstore.Session, error) {
		record := t.byCookie(rekey.Key)
		if record == nil {
			return nil, missing("session")
		}
		next, err := rules.Rekey(record, &rekey, t.byCookie(rekey.NewKey) != nil, now)
		if err != nil {
			return nil, err
		}
		t.save(transfer.Sessions, next.SessionId, next)
		return records.SessionOf(next), nil
	})
}

func (s tickets) Query(ctx context.Context, query ticketstore.SessionQuery) (*ticketstore.Page, error) {
	walk, invalid := query.Walk()
	return view(ctx, s.Store, anyTime, invalid, func(t *tx) (result *ticketstore.Page, err error) {
		f, matches, index := walk.Filter, walk.Filter.Matcher(), allSessions
		if f.SubjectID != "" {
			index = sessionsOf(f.SubjectID)
		}
		match := func(r *row) bool {
			return matches(records.SummaryOf(t.session(r.key))) &&
				(f.ClientID == "" || rules.Shown(t.use(r.key, f.ClientID)))
		}
		rows, place := page(t, index, walk, match)
		result = &ticketstore.Page{HasPrev: place.HasPrev, HasNext: place.HasNext}
		result.TotalCount = len(t.where(index, match))
		for _, r := range rows {
			result.Sessions = append(result.Sessions, *t.detail(r.key))
		}
		rules.Number(result, walk)
		result.ResultsToken, err = rules.Token(walk, place, result.CurrentPage)
		return result, err
	})
}

// page reads the page requested by a walk along an index and returns its place.
func page[F any](
	t *tx, index string, w *ticketstore.Walk[F], match func(r *row) bool,
) ([]*row, *rules.Place) {
	rows, s := t.read(index, w.From, w.Reverse(), w.Count, match)
	behind := false
	if w.From != nil {
		near := rules.NearBound(w, s)
		_, beyond := t.read(index, &near, !w.Reverse(), 1, match)
		behind = beyond.Rows > 0
	}
	if w.Prior {
		slices.Reverse(rows)
	}
	return rows, rules.PlaceOf(w, s, behind)
}

func (p properties) Property(ctx context.Context, name string) ([]byte, error) {
	return view(ctx, p.Store, anyTime, ticketstore.CheckPropertyName(name), func(t *tx) ([]byte, error) {
		return slices.Clone(messageOf[*records.Property](t.at(transfer.Properties, name)).GetValue()), nil
	})
}

func (p properties) SetProperty(ctx context.Context, name string, old, value []byte) error {
	invalid := ticketstore.CheckProperty(name, value)
	_, err := change(ctx, p.Store, anyTime, invalid, func(t *tx) (bool, error) {
		is := messageOf[*records.Property](t.at(transfer.Properties, name)).GetValue()
		change, err := rules.SetProperty(is, old, value, len(t.rows(all(transfer.Properties))))
		switch {
		case err != nil || !change:
		case len(value) == 0:
			t.delete(transfer.Properties, name)
		default:
			t.save(transfer.Properties, name, &records.Property{Value: value})
		}
		return change, err
	})
	return err
}
