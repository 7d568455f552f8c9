package postgres

// The end of one session in one transaction: clients, grants, notifications and the ended record.

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
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

// closing is the end of one session in one transaction.
type closing struct {
	*tx
	ending *logout.Ending
	limit  int
	result logout.Result
	// purge: rows of dead grants remain.
	purge bool
	// consents are the clients to which consents of consentsOf, a subject, remain.
	consents   []string
	consentsOf string
}

// run ends the session with that sid. A missing session is not an error. The row of the session is locked:
// concurrent uses and renewals come before, or find it gone.
func (c *closing) run(sid string) {
	session := c.session(sid)
	switch {
	case session == nil:
		c.revokeSurvivors(sid)
		return
	case !rules.Ends(c.ending, session, c.now):
		return
	}
	ended := rules.EndedBy(c.ending, session, c.now)
	for _, r := range c.clients(sid) {
		use := proto.CloneOf(message[*records.ClientUse](r))
		if rules.Repeated(c.ending, use) {
			continue
		}
		_, client := splitClient(r.key)
		c.part(session, client, use)
		switch {
		case !c.ending.KeepSession:
			rules.AddSurvivors(ended, c.ending, client, use)
			c.remove(r)
		case rules.EndTokens(c.ending, client, use):
			c.purge = c.purge || !c.ending.KeepTokens
			c.put(r.kind, r.key, use)
		}
	}
	if !c.ending.KeepSession {
		c.remove(c.row(transfer.Sessions, sid))
		c.put(transfer.Ended, sid, ended)
		rules.Removed(&c.result, session)
		c.purge = true
	}
	c.purgeInline(sid)
}

// part applies the ending to a client, whether or not the session is kept.
func (c *closing) part(session *records.Session, client string, use *records.ClientUse) {
	p := rules.EndClient(c.ending, session, client, use, c.now)
	if p.LeftAlone {
		c.result.ClientsLeftAlone = append(c.result.ClientsLeftAlone, client)
	}
	if p.Notification != nil {
		c.queue(p.Notification)
		c.result.NotificationsQueued++
	}
	if p.Consents && c.dropConsents(session.GetSubjectId(), client) {
		c.consents, c.consentsOf = append(c.consents, client), session.GetSubjectId()
	}
}

// revokeSurvivors revokes the survivors of a session that ended before, if the ending revokes tokens without
// exception.
func (c *closing) revokeSurvivors(sid string) {
	ended := proto.CloneOf(c.ended(sid))
	if !rules.RevokeSurvivors(c.ending, ended) {
		return
	}
	c.put(transfer.Ended, sid, ended)
	c.purge = true
	c.purgeInline(sid)
}

// dropConsents removes consents of a subject to a client, at most c.limit, and reports whether some remain.
func (c *closing) dropConsents(subject, client string) (left bool) {
	f := &grantstore.Filter{SubjectID: subject, ClientID: client, Type: grantstore.UserConsent}
	rows, found := c.readListing(grantListing(f), nil, false, c.limit)
	_, revoked := c.dropFound(rows, func(r *row) bool { return rules.Selected(f, r.ref().Type, grant(r)) })
	c.result.ConsentsRevoked += revoked
	return found.More && len(rows) > 0
}

// purgeInline removes rows of grants that just died, up to the limit of this transaction. If some remain, it
// writes a mark with the operation for which they are counted; a sweep has none.
func (c *closing) purgeInline(sid string) {
	if !c.purge {
		return
	}
	revoked, more := c.purgeDead(sid, c.limit)
	c.result.GrantsRevoked += revoked
	if c.purge = more; more && (c.ending.OperationID != "" || c.row(transfer.Purges, sid).now == nil) {
		c.put(transfer.Purges, sid, &records.Property{Value: []byte(c.ending.OperationID)})
	}
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
