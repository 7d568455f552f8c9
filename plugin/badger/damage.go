package badger

// Endings with damaged rows: a session can be ended even if its records cannot be read.

import (
	"context"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/steps"
)

// positionListed finds a session by its sid in the listing, whose rows hold the whole session except the
// ticket. It scans the listing, which is only needed if the session's own row is damaged.
func (e *Engine) positionListed(ctx context.Context, sid string) ([]byte, error) {
	return read(ctx, e, nil, func(r *kv.Snapshot) ([]byte, error) { return findListed(r, sid) })
}

func findListed(r kv.Reader, sid string) (position []byte, err error) {
	err = r.Scan(layout.IndexListing, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		_, found, err := layout.SplitTimed(k, len(layout.IndexListing))
		if err == nil && string(found) == sid {
			position = k[len(layout.IndexListing):]
		}
		return position == nil, r.StepOver(err)
	})
	return position, err
}

// Session loads the session to end. If its own row is damaged, the row in the listing has what its end needs.
func (c *closing) Session(sid string) (*records.Session, error) {
	session, err := loadSession(c.tx, sid)
	if !layout.IsDamage(err) || c.listed == nil {
		return session, err
	}
	listed, listedErr := kv.Find[records.Session](c.tx, layout.Key(layout.IndexListing, c.listed))
	if listedErr != nil || listed.GetSessionId() != sid {
		return nil, err
	}
	c.broken = true
	return listed, c.tx.StepOver(err)
}

// replacement replaces a damaged client row with safe values: the client is notified, and none of its grants
// survive.
func (c *closing) replacement(session *records.Session, client steps.Client) error {
	entry, err := c.tx.Get(layout.SessionPosition(layout.IndexClient, layout.More(client.ID), session))
	if err != nil {
		return err
	}
	*client.Use = records.ClientUse{
		FirstUsed: session.GetCreated(), LastUsed: session.GetCreated(), Notify: true,
		Detached: entry == nil, TokenNumber: maxTokenNumber,
	}
	k := layout.ClientUseKey(session.GetSessionId(), client.ID)
	if err := c.tx.SetAside(k); err != nil || !c.Ending.KeepSession {
		return err
	}
	return c.tx.Save(k, client.Use)
}

// maxTokenNumber is a token number greater than that of any stored grant.
const maxTokenNumber = 1 << 62
