package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

type tickets struct{ s *Store }

var _ ticketstore.Store = tickets{}

func (s tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := session.Validate(); err != nil {
		return err
	}
	return s.s.change(ctx, func(t *tx) error {
		_, err := t.create(session)
		return err
	})
}

// create tells whether the session is new: one whose answer was lost is there already.
func (t *tx) create(session *ticketstore.Session) (created bool, err error) {
	sid, taken := t.cookies[string(session.Key[:])]
	switch {
	case taken && sid == session.SessionID:
		return false, nil
	case t.session(session.SessionID) != nil, t.ended(session.SessionID) != nil:
		return false, fmt.Errorf("session id: %w", ticketstore.ErrExists)
	case taken:
		return false, fmt.Errorf("session key: %w", ticketstore.ErrExists)
	}
	row := records.FromSession(session)
	row.Version = 1
	t.save(transfer.Sessions, session.SessionID, row)
	return true, nil
}

func (s tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) (ended []string, err error) {
	if err := errors.Join(session.Validate(), limit.Validate()); err != nil {
		return nil, err
	}
	err = s.s.change(ctx, func(t *tx) error {
		created, err := t.create(session)
		if err != nil || !created {
			return err
		}
		others := t.sessionsWhere(func(other *records.Session) bool {
			return other.GetSubjectId() == session.SubjectID && other.GetSessionId() != session.SessionID && rules.Live(other, now)
		})
		excess := len(others) - limit.Max + 1
		if excess > 0 && !limit.EndOldest {
			return ticketstore.ErrTooManySessions
		}
		for _, other := range others[:max(excess, 0)] {
			t.end(&logout.Ending{
				SessionID: other.GetSessionId(), Reason: logout.Terminated, KeepConsents: true, KeepOffline: limit.KeepOffline,
			}, other.GetSessionId(), now)
			ended = append(ended, other.GetSessionId())
		}
		return nil
	})
	return ended, err
}

// sessionsWhere returns the sessions that match, the oldest first, to look at.
func (t *tx) sessionsWhere(match func(*records.Session) bool) (found []*records.Session) {
	scan(t, transfer.Sessions, func(_ string, s *records.Session) {
		if match(s) {
			found = append(found, s)
		}
	})
	slices.SortFunc(found, func(a, b *records.Session) int { return strings.Compare(sessionPosition(a), sessionPosition(b)) })
	return found
}

func (s tickets) Get(ctx context.Context, key ticketstore.Key) (session *ticketstore.Session, err error) {
	err = s.s.view(ctx, func(t *tx) error {
		row, err := t.byCookie(key)
		if err == nil {
			session = records.SessionOf(row)
		}
		return err
	})
	return session, err
}

func (t *tx) byCookie(key ticketstore.Key) (*records.Session, error) {
	sid, found := t.cookies[string(key[:])]
	if !found {
		return nil, fmt.Errorf("session: %w", ticketstore.ErrNotFound)
	}
	return t.session(sid), nil
}

func (s tickets) Find(ctx context.Context, sessionID string) (detail *ticketstore.SessionDetail, err error) {
	if err := ticketstore.CheckID("session_id", sessionID); err != nil {
		return nil, err
	}
	err = s.s.view(ctx, func(t *tx) error {
		row := t.session(sessionID)
		if row == nil {
			return fmt.Errorf("session: %w", ticketstore.ErrNotFound)
		}
		detail = t.detail(row)
		return nil
	})
	return detail, err
}

// usedClient is a client's row in a session.
type usedClient struct {
	*records.ClientUse
	id string
}

// clients returns those of a session, detached ones too, sorted by id.
func (t *tx) clients(sid string) (clients []usedClient) {
	for key := range t.tables[transfer.Clients] {
		if id, found := strings.CutPrefix(key, sid+"\x00"); found {
			clients = append(clients, usedClient{t.use(sid, id), id})
		}
	}
	slices.SortFunc(clients, func(a, b usedClient) int { return strings.Compare(a.id, b.id) })
	return clients
}

func (t *tx) detail(row *records.Session) *ticketstore.SessionDetail {
	detail := &ticketstore.SessionDetail{Session: *records.SummaryOf(row)}
	for _, c := range t.clients(row.GetSessionId()) {
		if !c.GetDetached() {
			detail.Clients = append(detail.Clients, ticketstore.ClientUse{
				ClientID: c.id, FirstUsed: records.Moment(c.GetFirstUsed()), LastUsed: records.Moment(c.GetLastUsed()), Notify: c.GetNotify(),
				Coordinated: c.GetCoordinated(), Muted: ticketstore.Ends(c.GetMuted()), TokenNumber: c.GetTokenNumber(),
			})
		}
	}
	slices.SortStableFunc(detail.Clients, func(a, b ticketstore.ClientUse) int { return a.FirstUsed.Compare(b.FirstUsed) })
	return detail
}

func (s tickets) Renew(ctx context.Context, renewal ticketstore.Renewal, now time.Time) (session *ticketstore.Session, err error) {
	err = s.s.change(ctx, func(t *tx) error {
		row, err := t.renewable(renewal.Key, renewal.Version, now)
		if err != nil {
			return err
		}
		row.Expires = max(row.Expires, rules.Renewed(row, renewal.Expires))
		row.Renewed = records.Nanos(now)
		row.Version++
		t.save(transfer.Sessions, row.SessionId, row)
		session = records.SessionOf(row)
		return nil
	})
	return session, err
}

func (s tickets) Rekey(ctx context.Context, rekey ticketstore.Rekey, now time.Time) (session *ticketstore.Session, err error) {
	err = s.s.change(ctx, func(t *tx) error {
		row, err := t.renewable(rekey.Key, rekey.Version, now)
		if err != nil {
			return err
		}
		next := rekey.Apply(records.SessionOf(row), now)
		if err := next.Validate(); err != nil {
			return err
		}
		if _, taken := t.cookies[string(rekey.NewKey[:])]; taken && rekey.NewKey != rekey.Key {
			return fmt.Errorf("new session key: %w", ticketstore.ErrExists)
		}
		t.save(transfer.Sessions, row.SessionId, records.FromSession(next))
		session = records.SessionOf(t.session(row.SessionId))
		return nil
	})
	return session, err
}

// renewable returns the session of a cookie if it is live at now and unchanged since version.
func (t *tx) renewable(key ticketstore.Key, version uint64, now time.Time) (*records.Session, error) {
	row, err := t.byCookie(key)
	switch {
	case err != nil:
		return nil, err
	case !rules.Live(row, now):
		return nil, ticketstore.ErrExpired
	case row.GetVersion() != version:
		return nil, fmt.Errorf("session: %w", ticketstore.ErrConflict)
	}
	return row, nil
}

func (s tickets) Query(ctx context.Context, query ticketstore.SessionQuery) (result *ticketstore.Page, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	err = s.s.view(ctx, func(t *tx) (err error) {
		matches := walk.Filter.Matcher()
		var rows []entry[*records.Session]
		for _, s := range t.sessionsWhere(func(s *records.Session) bool { return matches(records.SummaryOf(s)) }) {
			if client := walk.Filter.ClientID; client != "" {
				if use := t.use(s.GetSessionId(), client); use == nil || use.GetDetached() {
					continue
				}
			}
			rows = append(rows, entry[*records.Session]{sessionPosition(s), s})
		}
		p := pageOf(rows, walk)
		result = &ticketstore.Page{HasPrev: p.hasPrev, HasNext: p.hasNext, TotalCount: len(rows)}
		for _, s := range p.rows {
			result.Sessions = append(result.Sessions, *t.detail(s))
		}
		number(result, walk)
		result.ResultsToken, err = tokenOf(p, walk, result.CurrentPage)
		return err
	})
	return result, err
}

// number numbers the page: the ends of the listing are certain, in between the token's count goes on.
func number(p *ticketstore.Page, walk *ticketstore.Walk[ticketstore.SessionFilter]) {
	p.TotalPages = (p.TotalCount + walk.Count - 1) / walk.Count
	p.CurrentPage = walk.Page
	if !p.HasNext && p.HasPrev && len(p.Sessions) > 0 {
		p.CurrentPage = p.TotalPages
	}
	p.CurrentPage = min(p.CurrentPage, max(p.TotalPages, 1))
	if !p.HasPrev {
		p.CurrentPage = 1
	}
	p.CurrentPage = cmp.Or(p.CurrentPage, -1)
}
