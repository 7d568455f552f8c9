package badger

import (
	"context"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

func (s endings) Notifications(ctx context.Context, query logout.NotificationQuery) (result *logout.NotificationPage, err error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	err = s.e.view(ctx, func(r reader) error {
		p, err := readPage(noticeListing(r, &walk.Filter), walk)
		if err != nil {
			return err
		}
		result = &logout.NotificationPage{Notifications: p.rows, HasPrev: p.hasPrev, HasNext: p.hasNext}
		if p.nothing {
			return nil
		}
		result.ResultsToken, err = walk.Token(p.before, p.after, 0)
		return err
	})
	return result, err
}

// noticeListing lists notices in the order of their ids, which is that of their queueing.
func noticeListing(r reader, f *logout.NotificationFilter) *listing[logout.Notification] {
	l := &listing[logout.Notification]{r: r, prefix: tableNotice}
	switch {
	case f.SessionID != "":
		l.prefix = key(indexNoticeSession, more(f.SessionID))
	case f.ClientID != "":
		l.prefix = key(indexNoticeClient, more(f.ClientID))
	case f.State != "":
		l.prefix = key(indexNoticeState, more(string(f.State)))
	}
	l.match = func(position []byte, _ func() ([]byte, error)) (*logout.Notification, error) {
		n := &records.Notification{}
		id := string(position)
		found, err := load(r, noticeKey(id), n)
		if err != nil || !found || !noticeMatches(f, n) {
			return nil, err
		}
		return records.NotificationOf(id, n), nil
	}
	return l
}

func noticeMatches(f *logout.NotificationFilter, n *records.Notification) bool {
	return (f.State == "" || n.GetState() == string(f.State)) &&
		(f.ClientID == "" || n.GetClientId() == f.ClientID) &&
		(f.SessionID == "" || n.GetSessionId() == f.SessionID)
}
