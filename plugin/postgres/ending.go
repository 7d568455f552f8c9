package postgres

// The end of one session in one transaction: clients, grants, notifications and the ended record.

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// maxInline bounds the rows of dead grants, and of consents, removed by the transaction that ends their
	// session. The others are purged afterwards.
	maxInline = 256
	// unbounded is for a dry run, which counts all rows of a session at once.
	unbounded = 1 << 30
)

// end ends the session with that sid. A missing session is not an error. The row of the session is locked:
// concurrent uses and renewals come before, or find it gone. limit bounds the rows of dead grants, and of
// consents, that are removed.
func (t *tx) end(ending *logout.Ending, sid string, limit int) *steps.Closing {
	c := &steps.Closing{Ending: ending, Now: t.now}
	t.fail(c.End(endingRows{rows{t}, limit}, sid))
	return c
}

// endingRows implements steps.EndingRows.
type endingRows struct {
	rows
	limit int
}

var _ steps.EndingRows = endingRows{}

func (r endingRows) Clients(sid string) (clients []steps.Client, _ error) {
	for _, c := range r.clients(sid) {
		_, id := splitClient(c.key)
		use := proto.CloneOf(message[*records.ClientUse](c))
		clients = append(clients, steps.Client{ID: id, Use: use})
	}
	return clients, r.err
}

func (r endingRows) DropClient(s *records.Session, client steps.Client) error {
	r.remove(r.row(transfer.Clients, clientKey(s.GetSessionId(), client.ID)))
	return r.err
}

func (r endingRows) DropSession(s *records.Session, ended *records.Ended) error {
	r.remove(r.row(transfer.Sessions, s.GetSessionId()))
	return r.SaveEnded(s.GetSessionId(), ended)
}

func (r endingRows) SaveEnded(sid string, ended *records.Ended) error {
	r.put(transfer.Ended, sid, ended)
	return r.err
}

func (r endingRows) Queue(n *records.Notification) error {
	r.queue(n)
	return r.err
}

func (r endingRows) DropConsents(subject, client string) (revoked int, left bool, err error) {
	f := &grantstore.Filter{SubjectID: subject, ClientID: client, Type: grantstore.UserConsent}
	list, found := r.readListing(grantListing(f), nil, false, r.limit)
	_, revoked = r.dropFound(list, func(c *row) bool { return rules.Selected(f, c.ref().Type, grant(c)) })
	return revoked, found.More && len(list) > 0, r.err
}

func (r endingRows) PurgeDead(sid, operation string) (revoked int, more bool, err error) {
	revoked, more = r.purgeDead(sid, r.limit)
	if more && (operation != "" || r.row(transfer.Purges, sid).now == nil) {
		r.put(transfer.Purges, sid, &records.Property{Value: []byte(operation)})
	}
	return revoked, more, r.err
}

// purgeDead removes at most limit rows of unused grants that the session or its ended record does not let
// live. It returns how many were tokens in use, and whether there may be more. Used grants stay until they
// expire: no index leads from their session to them.
func (t *tx) purgeDead(sid string, limit int) (revoked int, more bool) {
	l := grantListing(&grantstore.Filter{SessionID: sid})
	t.needSessions([]string{sid})
	purged := func(r *row) (purged, inUse bool) {
		return rules.PurgedByEnd(r.ref().Type, grant(r), t.standing(sid, grant(r).GetClientId()), t.now)
	}
	l.match = func(r *row) bool { dead, _ := purged(r); return dead }
	var rows []*row
	var from *ticketstore.Bound
	for more = true; more && len(rows) < limit && t.err == nil; {
		part, found := t.readListing(l, from, false, limit-len(rows))
		rows, more, from = append(rows, part...), found.More, behind(found.Seen)
	}
	keys := keysOf(rows)
	t.need(transfer.Grants, keys...)
	for _, key := range keys {
		r := t.row(transfer.Grants, key)
		if r.now == nil {
			continue
		}
		dead, inUse := purged(r)
		if dead {
			t.remove(r)
		}
		if inUse {
			revoked++
		}
	}
	return revoked, more
}

// purgeLater removes rows of dead grants left by endings without an operation. Rows that it cannot remove are
// marked and removed by another host.
func (e *Engine) purgeLater(sids []string, now time.Time) {
	for _, sid := range sids {
		e.work.Go(func() { e.purgeSession(sid, now) })
	}
}

// purgeSession removes the rows of dead grants of a marked session. The number of tokens in use among them is
// added to the job that left them, in the transaction that removes them, so that each is counted exactly
// once, whichever host does the work.
func (e *Engine) purgeSession(sid string, now time.Time) {
	for more := true; more && e.background.Err() == nil; {
		var err error
		more, err = scan(e.background, e, now, planOf(sid), func(t *tx) (bool, error) {
			return t.purgeMarked(sid), nil
		})
		if err != nil && e.background.Err() == nil {
			e.logger.WarnContext(e.background,
				"rows of dead grants are left: they are not live, and are removed later", "error", err)
		}
	}
}

func (t *tx) purgeMarked(sid string) (more bool) {
	mark := t.row(transfer.Purges, sid)
	if mark.now == nil {
		return false
	}
	id := string(message[*records.Property](mark).GetValue())
	revoked, more := t.purgeDead(sid, purgeBatch)
	if !more {
		t.remove(mark)
	}
	if id == "" || revoked == 0 {
		return more
	}
	if job := proto.CloneOf(t.job(id)); job.GetPhase() != "" {
		rules.Progress(job, &logout.Result{GrantsRevoked: revoked})
		t.put(transfer.Jobs, id, job)
	}
	return more
}
