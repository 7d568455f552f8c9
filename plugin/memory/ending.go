package memory

import (
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// end ends one session as the ending says, in the change that t is. Nothing there to end is no error.
func (t *tx) end(ending *logout.Ending, sid string, now time.Time) logout.Result {
	c := &closing{tx: t, ending: ending, now: now}
	session := t.session(sid)
	switch {
	case session == nil:
		c.revokeSurvivors(sid)
	case ending.SubjectID != "" && ending.SubjectID != session.GetSubjectId():
	case ending.Reason == logout.SessionExpiration && rules.Live(session, now): // it slid since somebody saw it due
	default:
		c.run(session)
	}
	return c.result
}

// closing is the end of one session.
type closing struct {
	*tx
	ending *logout.Ending
	now    time.Time
	result logout.Result
}

func (c *closing) run(session *records.Session) {
	clients := slices.DeleteFunc(c.clients(session.SessionId), func(client usedClient) bool {
		// Repeated after a crash, an ending does not deal with a client twice while the session stays.
		return c.ending.OperationID != "" && client.LastEnding == c.ending.OperationID
	})
	for _, client := range clients {
		switch {
		case client.Detached:
			continue
		case !c.named(client.id):
			c.result.ClientsLeftAlone = append(c.result.ClientsLeftAlone, client.id)
			continue
		case c.tells(client.ClientUse):
			c.queue(session, client)
		}
		// Without a sid, all consents go by themselves.
		if !c.ending.KeepConsents && c.ending.SessionID != "" {
			c.dropConsents(session.SubjectId, client.id)
		}
	}
	if c.ending.KeepSession {
		c.keep(session, clients)
	} else {
		c.replace(session, clients)
	}
	c.purgeDead(session.SessionId)
}

// named tells whether the ending is about this client.
func (c *closing) named(client string) bool {
	return c.ending.ClientIDs == nil || slices.Contains(c.ending.ClientIDs, client)
}

// tells says whether the client is to hear of this end of the session.
func (c *closing) tells(use *records.ClientUse) bool {
	return use.Notify && !c.ending.SkipNotification && (use.Coordinated || !c.ending.CoordinatedOnly) &&
		!ticketstore.Ends(use.Muted).Has(c.ending.Reason.Ends())
}

func (c *closing) queue(session *records.Session, client usedClient) {
	c.result.NotificationsQueued++
	n := &records.Notification{
		Issuer: session.Issuer, ClientId: client.id, SubjectId: session.SubjectId, SessionId: session.SessionId,
		Reason: string(c.ending.Reason), State: string(logout.Pending), Queued: records.Nanos(c.now),
		NextAttempt: records.Nanos(c.now), GiveUpAt: records.Nanos(c.now.Add(logout.RetryWindow)),
	}
	if c.now.Sub(records.Moment(client.LastUsed)) <= logout.RecentUse {
		n.Again = records.Nanos(c.now.Add(logout.SecondDelivery))
	}
	for id := ""; ; { // the number may be one from before a move
		c.notices++
		if id = fmt.Sprintf("%016x%08x", uint64(records.Nanos(c.now)), c.notices); c.notice(id) == nil {
			c.save(transfer.Notifications, id, n)
			return
		}
	}
}

func (c *closing) dropConsents(subject, client string) {
	for _, g := range c.grantsWhere(func(kind grantstore.Type, g *records.Grant) bool {
		return kind == grantstore.UserConsent && g.GetSubjectId() == subject && g.GetClientId() == client
	}) {
		_, consents := c.drop(g, c.now)
		c.result.ConsentsRevoked += consents
	}
}

// keep revokes the tokens of a session that stays by raising the token number of its clients' rows, and detaches clients that were named
// and have heard of it.
func (c *closing) keep(session *records.Session, clients []usedClient) {
	for _, client := range clients {
		if client.Detached || !c.named(client.id) {
			continue
		}
		client.LastEnding = c.ending.OperationID
		if !c.ending.KeepTokens {
			client.TokenNumber++
		}
		client.Detached = c.ending.ClientIDs != nil && (!c.ending.SkipNotification || !client.Notify)
		c.saveUse(session.SessionId, client.id, client.ClientUse)
	}
}

// replace puts the ended record in the session's place.
func (c *closing) replace(session *records.Session, clients []usedClient) {
	ended := &records.Ended{SubjectId: session.SubjectId, When: records.Nanos(c.now), Reason: string(c.ending.Reason)}
	for _, client := range clients {
		if survivors := c.survivors(client.id); survivors != 0 {
			ended.Survivors = max(ended.Survivors, survivors)
			ended.Clients = append(ended.Clients, &records.EndedClient{
				ClientId: client.id, TokenNumber: client.TokenNumber, Survivors: survivors,
			})
		}
		c.delete(transfer.Clients, session.SessionId+"\x00"+client.id)
	}
	c.delete(transfer.Sessions, session.SessionId)
	c.save(transfer.Ended, session.SessionId, ended)
	c.result.SessionsRemoved++
	c.result.Ended = append(c.result.Ended, logout.EndedSession{SessionID: session.SessionId, SubjectID: session.SubjectId})
}

// survivors says which tokens of a client outlive the session. A removal narrowed to some clients leaves those of the others alone.
func (c *closing) survivors(client string) records.Survivors {
	switch {
	case c.ending.KeepTokens, !c.named(client):
		return records.Survivors_SURVIVORS_ALL
	case c.ending.KeepOffline:
		return records.Survivors_SURVIVORS_OFFLINE
	}
	return records.Survivors_SURVIVORS_UNSPECIFIED
}

// revokeSurvivors ends what has outlived a session that ended before, as far as the ending revokes tokens without exception.
func (c *closing) revokeSurvivors(sid string) {
	ended := c.ended(sid)
	if ended.GetSurvivors() == 0 || c.ending.KeepTokens || c.ending.KeepOffline || c.ending.Reason == logout.SessionExpiration ||
		(c.ending.SubjectID != "" && c.ending.SubjectID != ended.SubjectId) {
		return
	}
	ended.Survivors = 0
	for _, client := range ended.Clients {
		if c.named(client.ClientId) {
			client.Survivors = 0
		}
		ended.Survivors = max(ended.Survivors, client.Survivors)
	}
	c.save(transfer.Ended, sid, ended)
	c.purgeDead(sid)
}

// purgeDead removes the rows of grants that the session, or what is left of it, does not let live, and counts those that were tokens in use. A
// session that is over but has not ended yet has not decided yet what outlives it.
func (c *closing) purgeDead(sid string) {
	for _, g := range c.grantsWhere(func(kind grantstore.Type, g *records.Grant) bool {
		return kind.IsToken() && g.GetSessionId() == sid && !rules.Allowed(kind, g, c.standing(g))
	}) {
		if g.GetConsumed() == 0 && !rules.Expired(g.Grant, c.now) {
			c.result.GrantsRevoked++
		}
		c.delete(transfer.Grants, g.key)
	}
}
