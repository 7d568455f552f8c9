package badger

// The end of one session in one transaction: clients, grants, notifications and the ended record.

import (
	"errors"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// maxInline bounds the rows of dead grants removed by the transaction that killed them. The others are purged
// afterwards.
const maxInline = 256

// closing is the end of one session in one transaction.
type closing struct {
	engine *Engine
	tx     *kv.Tx
	ending *logout.Ending
	now    time.Time
	result logout.Result
	// limit bounds the rows of dead grants removed along with the session: maxInline, unlimited in a dry run.
	limit int
	// listed is the session's position in the listing; broken is set if its own row is damaged.
	listed []byte
	broken bool
	// purge: rows of dead grants remain.
	purge bool
	// byParts: the session has too many clients, some of which are processed beforehand. partDone: some were.
	byParts, partDone bool
	// consents are the clients to which consents of consentsOf, a subject, remain.
	consents   []string
	consentsOf string
}

// run ends the session with that sid. A missing session is not an error.
func (c *closing) run(sid string) error {
	session, err := c.session(sid)
	if err != nil {
		return err
	}
	if session == nil {
		return c.revokeSurvivors(sid)
	}
	ends := rules.Ends(c.ending, session, c.now)
	if c.broken { // it serves no request, due or not
		ends = rules.Concerns(c.ending, session.SubjectId)
	}
	if !ends {
		return nil
	}
	clients, err := clientsOf(c.tx, sid)
	if err != nil {
		return err
	}
	for _, client := range clients {
		if !client.damaged {
			continue
		}
		if err := c.replacement(session, client); err != nil {
			return err
		}
	}
	clients = slices.DeleteFunc(clients,
		func(client usedClient) bool { return rules.Repeated(c.ending, client.use) })
	work := c.work(clients)
	switch most := clientsAtOnce(c.tx, session, work); {
	case c.limit == unbounded: // none of this is written
	case len(work) > most && !c.byParts:
		return &tooManyClients{sid: sid, ending: c.ending, now: c.now}
	case len(work) > most:
		return c.endPart(session, work[:most])
	case c.byParts:
		return nil
	}
	if err := c.applyToClients(session, clients); err != nil {
		return err
	}
	if c.ending.KeepSession {
		err = c.keep(session, clients)
	} else {
		err = c.replace(session, clients)
	}
	if err != nil {
		return err
	}
	return c.purgeInline(sid)
}

// applyToClients applies the ending to clients, whether or not the session is kept.
func (c *closing) applyToClients(session *records.Session, clients []usedClient) error {
	for _, client := range clients {
		p := rules.EndClient(c.ending, session, client.id, client.use, c.now)
		if p.LeftAlone {
			c.result.ClientsLeftAlone = append(c.result.ClientsLeftAlone, client.id)
		}
		if p.Notification != nil {
			c.result.NotificationsQueued++
			if err := c.engine.queue(c.tx, p.Notification, c.now); err != nil {
				return err
			}
		}
		if p.Consents {
			left, err := c.dropConsents(session.SubjectId, client.id)
			if err != nil {
				return err
			}
			if left {
				c.consents, c.consentsOf = append(c.consents, client.id), session.SubjectId
			}
		}
	}
	return nil
}

// keep writes the rows of clients of a session that is kept.
func (c *closing) keep(session *records.Session, clients []usedClient) error {
	for _, client := range clients {
		if !rules.EndTokens(c.ending, client.id, client.use) {
			continue
		}
		c.purge = c.purge || !c.ending.KeepTokens
		if client.use.Detached {
			c.tx.Delete(layout.SessionPosition(layout.IndexClient, layout.More(client.id), session))
			if err := countSession(c.tx, client.id, -1); err != nil {
				return err
			}
		}
		if err := c.tx.Save(layout.ClientUseKey(session.SessionId, client.id), client.use); err != nil {
			return err
		}
	}
	return nil
}

// replace replaces the session with its ended record.
func (c *closing) replace(session *records.Session, clients []usedClient) error {
	ended, err := c.removeClients(session, clients)
	if err != nil {
		return err
	}
	if err := dropSession(c.tx, session); err != nil {
		return err
	}
	rules.Removed(&c.result, session)
	c.purge = true
	c.tx.Put(layout.EndedDueKey(records.Nanos(c.now.Add(rules.EndedRetention)), session.SessionId), nil)
	if ended.Survivors != records.Survivors_SURVIVORS_UNSPECIFIED {
		c.tx.Put(layout.EndedSubjectKey(session.SubjectId, session.SessionId), nil)
	}
	return c.tx.Save(layout.EndedKey(session.SessionId), ended)
}

// removeClients removes clients from an ending session and returns the ended record with their survivors.
func (c *closing) removeClients(session *records.Session, clients []usedClient) (*records.Ended, error) {
	ended, err := loadEnded(c.tx, session.SessionId) // exists if a part of its clients was processed
	if err := c.tx.Abandon(err); err != nil {
		return nil, err
	}
	if ended == nil {
		ended = rules.EndedBy(c.ending, session, c.now)
	}
	for _, client := range clients {
		if !client.damaged { // some may have been revoked before
			rules.AddSurvivors(ended, c.ending, client.id, client.use)
		}
		c.tx.Delete(layout.ClientUseKey(session.SessionId, client.id))
		if client.use.Detached {
			continue
		}
		c.tx.Delete(layout.SessionPosition(layout.IndexClient, layout.More(client.id), session))
		if err := countSession(c.tx, client.id, -1); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

// revokeSurvivors revokes the survivors of a session that ended before, if the ending revokes tokens without
// exception.
func (c *closing) revokeSurvivors(sid string) error {
	if !rules.Strict(c.ending) {
		return nil
	}
	ended, err := loadEnded(c.tx, sid)
	if layout.IsDamage(err) {
		c.purge = true // without the record nothing survives
		return errors.Join(c.tx.Abandon(err), c.purgeInline(sid))
	}
	if err != nil || !rules.RevokeSurvivors(c.ending, ended) {
		return err
	}
	if ended.Survivors == records.Survivors_SURVIVORS_UNSPECIFIED {
		c.tx.Delete(layout.EndedSubjectKey(ended.SubjectId, sid))
	}
	c.purge = true
	if err := c.tx.Save(layout.EndedKey(sid), ended); err != nil {
		return err
	}
	return c.purgeInline(sid)
}

// dropConsents removes consents of a subject to a client, at most c.limit, and reports whether some remain.
func (c *closing) dropConsents(subject, client string) (left bool, err error) {
	prefix := layout.Key(layout.IndexGrantLoose, layout.More(subject), layout.More(client),
		layout.TypePrefix(grantstore.UserConsent))
	var rows []storedGrant
	room := c.tx.Share(6)
	err = c.tx.Scan(prefix, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
		g, err := followGrant(c.tx, value)
		if layout.IsDamage(err) {
			g, err = &storedGrant{damaged: err, entry: k}, nil
		}
		if err != nil || g == nil {
			return err == nil, err
		}
		room -= g.removes()
		full := c.limit != unbounded && len(rows) > 0 && (room < 0 || c.tx.Full())
		if left = len(rows) == c.limit || full; !left {
			rows = append(rows, *g)
		}
		return !left, nil
	})
	if err != nil {
		return false, err
	}
	return left, c.drop(rows)
}

// drop removes grants without a session and counts those that were live.
func (c *closing) drop(rows []storedGrant) error {
	f := families{tx: c.tx}
	for _, g := range rows {
		if g.damaged != nil {
			c.tx.Delete(g.entry)
			if err := c.tx.Abandon(g.damaged); err != nil {
				return err
			}
			continue
		}
		revoked, consents := rules.Counts(g.ref.Type, judge(c.tx, g.ref.Type, g.grant, c.now))
		c.result.GrantsRevoked += revoked
		c.result.ConsentsRevoked += consents
		if err := replaceGrant(&f, g.ref, g.grant, nil); err != nil {
			return err
		}
	}
	return f.save()
}

// purgeInline removes rows of grants that just died, up to the limit of this transaction.
func (c *closing) purgeInline(sid string) error {
	if !c.purge {
		return nil
	}
	revoked, more, err := purgeDead(c.tx, sid, c.limit, c.now)
	if err != nil {
		return err
	}
	c.result.GrantsRevoked += revoked
	if c.purge = more; !more {
		return nil
	}
	// Remaining rows are counted for the operation that left them. A sweep has none: then for the one already
	// recorded.
	if c.ending.OperationID != "" {
		c.tx.Put(layout.PurgeKey(sid), []byte(c.ending.OperationID))
		return nil
	}
	marked, err := c.tx.Get(layout.PurgeKey(sid))
	if err == nil && marked == nil {
		c.tx.Put(layout.PurgeKey(sid), nil)
	}
	return err
}
