package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// A row that cannot be read is the trouble of those who ask for it: they get an error, never "not found". Whoever reads many rows says so in
// the log, steps over it and goes on with the others. What is due at a row that cannot be read would be due for ever: its entry goes, and
// the row is set aside, bytes and all, in a table that nobody reads and that takes no part in a move.
//
// A move is the exception. It refuses: what it cannot read it cannot compare, and to leave it out would be to lose it. As sessions, grants
// and notices all have their time, a damaged one is in a move's way no longer than that.

// damage is the error of a row, or an index entry, that is not in its form.
type damage struct {
	key     []byte
	problem error
}

// Error names the table, never the key.
func (d *damage) Error() string {
	return fmt.Sprintf("row of table %q is damaged: %v", tableName(d.key), d.problem)
}

func (d *damage) Unwrap() error { return d.problem }

func isDamage(err error) bool {
	var d *damage
	return errors.As(err, &d)
}

func tableName(k []byte) string {
	if t := tableOf(k); t != nil {
		return t.name
	}
	return "unknown"
}

// public returns the part of a row's key that may be logged: ids that are no credential.
func public(k []byte) string {
	for _, table := range [][]byte{tableSession, tableClientUse, tableEnded, tableJob, tablePurge, tableNotice, tableProperty} {
		if bytes.HasPrefix(k, table) {
			return string(bytes.ReplaceAll(k[len(table):], []byte{0}, []byte{'/'}))
		}
	}
	return ""
}

// damages tells of each damaged row once, or again when it has told of very many others since.
type damages struct {
	logger *slog.Logger
	mutex  sync.Mutex
	told   map[string]struct{}
}

const maxTold = 1000

func (d *damages) tell(err error) {
	var found *damage
	if d == nil || !errors.As(err, &found) {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if _, again := d.told[string(found.key)]; again {
		return
	}
	if d.told == nil || len(d.told) == maxTold {
		d.told = map[string]struct{}{}
	}
	d.told[string(found.key)] = struct{}{}
	d.logger.ErrorContext(context.Background(), "damaged row stepped over", "table", tableName(found.key), "row", public(found.key), "error", err)
}

// stepOver implements reader.
func (s snapshot) stepOver(err error) error {
	if !isDamage(err) {
		return err
	}
	s.damages.tell(err)
	return nil
}

// stepOver implements reader.
func (g *group) stepOver(err error) error { return g.base.stepOver(err) }

// abandon steps over a damaged row for good: it is set aside. Entries that lead to it lead nowhere then.
func (t *tx) abandon(err error) error {
	var d *damage
	if !errors.As(err, &d) {
		return err
	}
	if err := t.stepOver(err); err != nil {
		return err
	}
	return t.setAside(d.key)
}

// setAside moves a row's bytes to where nobody reads them.
func (t *tx) setAside(k []byte) error {
	value, err := t.get(k)
	if err != nil || value == nil {
		return err
	}
	t.put(key(tableDamaged, k), value)
	t.delete(k)
	t.recount = t.recount || kindOf(k) != 0
	return nil
}

// positionListed finds a session by its sid alone in the listing, whose rows hold all of it but the ticket. It reads all of them: only where
// the session's own row is damaged is there no better way.
func (e *Engine) positionListed(ctx context.Context, sid string) (position []byte, err error) {
	err = e.view(ctx, func(r reader) (err error) {
		position, err = findListed(r, sid)
		return err
	})
	return position, err
}

func findListed(r reader, sid string) (position []byte, err error) {
	err = r.scan(indexListing, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		_, found, err := splitTimed(k, len(indexListing))
		if err == nil && string(found) == sid {
			position = k[len(indexListing):]
		}
		return position == nil, r.stepOver(err)
	})
	return position, err
}

// session loads the session that is to end. Where its own row is damaged, the row in the listing tells what its end needs.
func (c *closing) session(sid string) (*records.Session, error) {
	session, err := loadSession(c.tx, sid)
	if !isDamage(err) || c.listed == nil {
		return session, err
	}
	listed := &records.Session{}
	found, listedErr := load(c.tx, key(indexListing, c.listed), listed)
	if listedErr != nil || !found || listed.GetSessionId() != sid {
		return nil, err
	}
	c.broken = true
	return listed, c.tx.stepOver(err)
}

// mended puts what is safe in the place of a client's row that is damaged: the client is told, and nothing that it holds survives.
func (c *closing) mended(session *records.Session, client usedClient) error {
	entry, err := c.tx.get(sessionPosition(indexClient, more(client.id), session))
	if err != nil {
		return err
	}
	*client.use = records.ClientUse{
		FirstUsed: session.GetCreated(), LastUsed: session.GetCreated(), Notify: true, Detached: entry == nil, TokenNumber: beyondAll,
	}
	k := clientUseKey(session.GetSessionId(), client.id)
	if err := c.tx.setAside(k); err != nil || !c.ending.KeepSession {
		return err
	}
	return c.tx.save(k, client.use)
}

// beyondAll is a token number that no grant was ever stored under.
const beyondAll = 1 << 62
