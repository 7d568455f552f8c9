package badger

// The end of one session in one transaction: clients, grants, notifications and the ended record.

import (
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
)

// maxInline bounds the rows of dead grants removed by the transaction that killed them. The others are purged
// afterwards.
const maxInline = 256

// closing is the end of one session in one transaction. It implements steps.EndingRows.
type closing struct {
	steps.Closing
	engine *Engine
	tx     *kv.Tx
	// limit bounds the rows of dead grants removed along with the session: maxInline, unlimited in a dry run.
	limit int
	// listed is the session's position in the listing; broken is set if its own row is damaged.
	listed []byte
	broken bool
	// byParts: the session has too many clients, some of which are processed beforehand. partDone: some were.
	byParts, partDone bool
}

var _ steps.EndingRows = (*closing)(nil)

// run ends the session with that sid. A missing session is not an error.
func (c *closing) run(sid string) error {
	session, err := c.Session(sid)
	if err != nil {
		return err
	}
	if session == nil {
		return c.RevokeSurvivors(c, sid)
	}
	ends := rules.Ends(c.Ending, session, c.Now)
	if c.broken { // it serves no request, due or not
		ends = rules.Concerns(c.Ending, session.SubjectId)
	}
	if !ends {
		c.Idle = true
		return nil
	}
	clients, err := c.Clients(sid)
	if err != nil {
		return err
	}
	for _, client := range clients {
		if !client.Damaged {
			continue
		}
		if err := c.replacement(session, client); err != nil {
			return err
		}
	}
	clients = slices.DeleteFunc(clients,
		func(client steps.Client) bool { return rules.Repeated(c.Ending, client.Use) })
	work := c.work(clients)
	switch most := clientsAtOnce(c.tx, session, work); {
	case c.limit == unbounded: // none of this is written
	case len(work) > most && !c.byParts:
		return &tooManyClients{sid: sid, ending: c.Ending, now: c.Now}
	case len(work) > most:
		return c.endPart(session, work[:most])
	case c.byParts:
		return nil
	}
	ended, err := c.begun(session)
	if err != nil {
		return err
	}
	return c.EndSession(c, session, ended, clients)
}

// begun returns the ended record of an ending session, which exists if a part of its clients was processed.
func (c *closing) begun(session *records.Session) (*records.Ended, error) {
	ended, err := c.Ended(session.SessionId)
	if err == nil && ended == nil {
		ended = rules.EndedBy(c.Ending, session, c.Now)
	}
	return ended, err
}

func (c *closing) Clients(sid string) ([]steps.Client, error) { return clientsOf(c.tx, sid) }

// Ended sets aside a record that cannot be read: without it nothing survives.
func (c *closing) Ended(sid string) (*records.Ended, error) {
	ended, err := loadEnded(c.tx, sid)
	c.Purge = c.Purge || layout.IsDamage(err)
	return ended, c.tx.Abandon(err)
}

func (c *closing) Queue(n *records.Notification) error {
	return c.engine.queue(c.tx, n, c.Now)
}

func (c *closing) SaveClient(s *records.Session, client string, use *records.ClientUse, _ bool) error {
	if use.Detached {
		if err := listSession(c.tx, s, client, -1); err != nil {
			return err
		}
	}
	return c.tx.Save(layout.ClientUseKey(s.SessionId, client), use)
}

func (c *closing) DropClient(s *records.Session, client steps.Client) error {
	c.tx.Delete(layout.ClientUseKey(s.SessionId, client.ID))
	return listClient(c.tx, s, client, -1)
}

func (c *closing) DropSession(s *records.Session, ended *records.Ended) error {
	if err := dropSession(c.tx, s); err != nil {
		return err
	}
	replaceEntries(c.tx, nil, layout.EndedEntries(s.SessionId, ended))
	return c.tx.Save(layout.EndedKey(s.SessionId), ended)
}

func (c *closing) SaveEnded(sid string, ended *records.Ended) error {
	if ended.Survivors == records.Survivors_SURVIVORS_UNSPECIFIED {
		c.tx.Delete(layout.EndedSubjectKey(ended.SubjectId, sid))
	}
	return c.tx.Save(layout.EndedKey(sid), ended)
}

func (c *closing) DropConsents(subject, client string) (revoked int, left bool, err error) {
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
		return 0, false, err
	}
	_, revoked, err = c.drop(rows)
	return revoked, left, err
}

// drop removes grants without a session and returns how many live tokens and consents were among them.
func (c *closing) drop(rows []storedGrant) (revoked, consents int, err error) {
	f := families{tx: c.tx}
	for _, g := range rows {
		if g.damaged != nil {
			c.tx.Delete(g.entry)
			if err := c.tx.Abandon(g.damaged); err != nil {
				return revoked, consents, err
			}
			continue
		}
		tokens, given := rules.Counts(g.ref.Type, judge(c.tx, g.ref.Type, g.grant, c.Now))
		revoked, consents = revoked+tokens, consents+given
		if err := replaceGrant(&f, g.ref, g.grant, nil); err != nil {
			return revoked, consents, err
		}
	}
	return revoked, consents, f.save()
}

func (c *closing) PurgeDead(sid, operation string) (revoked int, more bool, err error) {
	revoked, more, err = purgeDead(c.tx, sid, c.limit, c.Now)
	if err != nil || !more {
		return revoked, more, err
	}
	if operation != "" {
		c.tx.Put(layout.PurgeKey(sid), []byte(operation))
		return revoked, more, nil
	}
	marked, err := c.tx.Get(layout.PurgeKey(sid))
	if err == nil && marked == nil {
		c.tx.Put(layout.PurgeKey(sid), nil)
	}
	return revoked, more, err
}
