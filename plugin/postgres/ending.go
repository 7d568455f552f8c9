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
	// maxInline bounds the rows of dead grants, and of consents, that are removed in the transaction that
	// ends their session. The rest is purged afterwards.
	maxInline = 256
	// unbounded is for a dry run, which counts a session's rows at once.
	unbounded = 1 << 30
)

// closing is the end of one session in one transaction.
type closing struct {
	*tx
	ending *logout.Ending
	limit  int
	result logout.Result
	// purge: rows of dead grants are left behind.
	purge bool
	// consents are the clients of whose consents some are left behind, and consentsOf their subject.
	consents   []string
	consentsOf string
}

// run ends the session with that sid as the ending says. Nothing there to end is no error. The row of the
// session is locked: what uses it, or renews it, comes before or finds it gone.
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

// part does what an ending does of a client, whether the session stays or goes.
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

// revokeSurvivors ends what has outlived a session that ended before, as far as the ending revokes tokens
// without exception.
func (c *closing) revokeSurvivors(sid string) {
	ended := proto.CloneOf(c.ended(sid))
	if !rules.RevokeSurvivors(c.ending, ended) {
		return
	}
	c.put(transfer.Ended, sid, ended)
	c.purge = true
	c.purgeInline(sid)
}

// dropConsents removes consents of a subject to a client, at most c.limit of them, and reports whether there
// are more.
func (c *closing) dropConsents(subject, client string) (left bool) {
	f := &grantstore.Filter{SubjectID: subject, ClientID: client, Type: grantstore.UserConsent}
	rows, found := c.readListing(grantListing(f), nil, false, c.limit)
	_, revoked := c.dropFound(rows, func(r *row) bool { return rules.Selected(f, r.ref().Type, grant(r)) })
	c.result.ConsentsRevoked += revoked
	return found.More && len(rows) > 0
}

// purgeInline removes rows of grants that died just now, as many as belong in this transaction. A mark stands
// for those that are left, and for the operation that they count for; a sweep has none.
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

// purgeDead removes at most limit rows of unused grants that the session, or what is left of it, does not let
// live, counts those that were tokens in use until then, and reports whether there may be more. Used ones
// stay until they expire: no index leads to them by their session.
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

// purgeLater removes rows of dead grants that endings without an operation have left. What it cannot,
// another host does: they are marked.
func (e *Engine) purgeLater(sids []string, now time.Time) {
	for _, sid := range sids {
		e.work.Go(func() { e.purgeSession(sid, now) })
	}
}

// purgeSession removes the rows of dead grants of a session that is marked. How many were tokens in use is
// added, in the transaction that removes them, to the job that has left them: none is lost or counted twice,
// whichever host does the work.
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
