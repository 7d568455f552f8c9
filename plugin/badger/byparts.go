package badger

// Endings of sessions with too many clients for one transaction.

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// tooManyClients is the error of ending a session with more clients than fit into one transaction. Stores
// from before clients were bounded (ticketstore.MaxClients) have such sessions; they also occur with little
// memory, which makes transactions small.
type tooManyClients struct {
	sid    string
	ending *logout.Ending
	now    time.Time
}

func (*tooManyClients) Error() string { return "session has more clients than end in one transaction" }

// commitByParts commits a change, before which it processes by parts the sessions with too many clients. The
// processed clients are missing from the change's counts.
func (e *Engine) commitByParts(ctx context.Context, ch *kv.Change) error {
	for {
		err := e.db.Commit(ctx, ch)
		var found *tooManyClients
		if !errors.As(err, &found) {
			return err
		}
		if err := e.endByParts(ctx, found); err != nil {
			return err
		}
		ch = &kv.Change{Apply: ch.Apply, Background: ch.Background, UseReserve: ch.UseReserve}
	}
}

// endByParts processes the clients of such a session, some in each transaction, until the rest fit into one.
// From the first transaction on, the session is over, so that none of its tokens is live, and is due, so that
// a sweep continues after a crash. If the ending keeps the session, the session stays live and each client is
// processed as a whole.
func (e *Engine) endByParts(ctx context.Context, found *tooManyClients) error {
	for more := true; more; {
		err := e.db.Commit(ctx, &kv.Change{Background: true, UseReserve: true, Apply: func(tx *kv.Tx) error {
			c := e.closing(tx, found.ending, found.now)
			c.byParts = true
			err := c.run(found.sid)
			more = c.partDone
			return err
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// work returns the clients for which the ending writes something.
func (c *closing) work(clients []steps.Client) []steps.Client {
	if !c.Ending.KeepSession {
		return clients
	}
	return slices.DeleteFunc(slices.Clone(clients), func(client steps.Client) bool {
		return !rules.Affects(c.Ending, client.ID, client.Use)
	})
}

// endPart processes some of the clients of a session.
func (c *closing) endPart(session *records.Session, clients []steps.Client) error {
	c.partDone = true
	ended, err := c.begun(session)
	if err != nil {
		return err
	}
	if err := c.EndClients(c, session, ended, clients); err != nil || c.Ending.KeepSession {
		return err
	}
	session.Expires = min(session.Expires, records.Nanos(c.Now))
	if err := saveSession(c.tx, session, true); err != nil {
		return err
	}
	return c.tx.Save(layout.EndedKey(session.SessionId), ended)
}

// clientsAtOnce returns how many of a session's clients can be processed by one transaction.
func clientsAtOnce(t *kv.Tx, session *records.Session, clients []steps.Client) int {
	room := t.Share(3)
	for i, client := range clients {
		// Its row, its listing entry, its count, and a notification with five index entries; some of them
		// twice, for the journal.
		room -= 10*(len(client.ID)+len(session.SessionId)) + 4*len(session.SubjectId) +
			2*len(session.Issuer) + 1<<10
		if room < 0 || i == ticketstore.MaxClients {
			return max(i, 1)
		}
	}
	return len(clients)
}
