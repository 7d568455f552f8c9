package badger

// Batches: what consumes (consume.go), stores and revokes grants.

import (
	"context"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s grants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	if err := batch.Validate(); err != nil {
		return nil, err
	}
	a := &application{batch: batch, now: now}
	if err := s.e.update(ctx, a.run); err != nil {
		return nil, err
	}
	if a.refused != nil {
		return nil, a.refused
	}
	return &grantstore.Result{Revoked: a.revoked, Slid: a.slid}, nil
}

// application is a batch on its way into the database.
type application struct {
	batch    *grantstore.Batch
	now      time.Time
	tx       *kv.Tx
	consumed *records.Grant // what the batch consumes
	revoked  int
	slid     bool
	// refused is the answer of a batch that fails but that must change something even so.
	refused error
}

func (a *application) run(tx *kv.Tx) error {
	*a = application{batch: a.batch, now: a.now, tx: tx} // it may be applied a second time
	before := &records.Operation{}
	again, err := kv.Load(tx, layout.OperationKey(a.batch.OperationID), before)
	if err != nil {
		return err
	}
	if again {
		a.revoked = int(before.GetRevoked())
		return nil
	}
	steps := rules.Steps{
		Seen: a.seen, Consume: a.consume, Use: a.use, Slide: a.slide, Remove: a.remove, Revoke: a.revoke,
		Store: a.store,
	}
	for _, step := range steps.InOrder() {
		if err := step(); err != nil || a.refused != nil {
			return err
		}
	}
	return saveAnswer(tx, a.batch.OperationID,
		&records.Operation{When: records.Nanos(a.now), Revoked: uint32(a.revoked)})
}

// saveAnswer keeps the answer to an operation in the transaction that earned it.
func saveAnswer(t *kv.Tx, id string, answer *records.Operation) error {
	t.Put(layout.OperationAgeKey(answer.GetWhen(), id), nil)
	return t.Save(layout.OperationKey(id), answer)
}

func (a *application) use() error {
	u := a.batch.Use
	if u == nil {
		return nil
	}
	session, err := loadSession(a.tx, u.SessionID)
	if err != nil {
		return err
	}
	use, err := a.attach(session, u.SessionID, u.ClientID)
	if err != nil {
		return err
	}
	rules.Registered(use, u)
	return a.tx.Save(layout.ClientUseKey(u.SessionID, u.ClientID), use)
}

func (a *application) slide() error {
	s := a.batch.Slide
	if s == nil {
		return nil
	}
	session, err := loadSession(a.tx, s.SessionID)
	if err != nil || !rules.Slide(session, s, a.now) {
		return err
	}
	a.slid = true
	return saveSession(a.tx, session, false)
}

// attach returns the client's row in a session (nil: it has ended) that must be live, as used now, for the
// caller to save. It is new or, after a removal that detached it, back in its place.
func (a *application) attach(session *records.Session, sid, client string) (*records.ClientUse, error) {
	before, err := loadClientUse(a.tx, sid, client)
	if err != nil {
		return nil, err
	}
	listed, others := rules.Shown(before), 0
	if before == nil {
		if others, err = a.clientRows(sid); err != nil {
			return nil, err
		}
	}
	use, err := rules.Attach(session, before, others, a.now)
	if err != nil || listed {
		return use, err
	}
	a.tx.Put(layout.SessionPosition(layout.IndexClient, layout.More(client), session), nil)
	return use, countSession(a.tx, client, +1)
}

// clientRows counts the clients of a session, up to ticketstore.MaxClients or a few more.
func (a *application) clientRows(sid string) (int, error) {
	prefix := layout.ClientUsePrefix(sid)
	n, err := countKeys(a.tx, prefix, ticketstore.MaxClients)
	if err != nil || n < 0 {
		return ticketstore.MaxClients, err
	}
	// A scan does not see what the batch itself has written.
	written, err := a.tx.NewUnder(prefix)
	return n + written, err
}

// seen checks that what the batch builds on is as its caller read it. All writes pass one committer, so
// nothing comes in between.
func (a *application) seen() error {
	for i := range a.batch.Seen {
		seen := &a.batch.Seen[i]
		g, err := loadGrant(a.tx, seen.Ref)
		if err != nil {
			return err
		}
		var verdict error
		if g != nil {
			verdict = judge(a.tx, seen.Type, g, a.now)
		}
		if err := rules.Unchanged(seen, g, verdict); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) remove() error {
	for _, ref := range a.batch.Delete {
		if err := a.drop(ref); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) drop(ref grantstore.Ref) error {
	g, err := loadGrant(a.tx, ref)
	if err != nil || g == nil {
		return err
	}
	revoked, consents := rules.Counts(ref.Type, judge(a.tx, ref.Type, g, a.now))
	a.revoked += revoked + consents
	return dropGrant(a.tx, ref, g)
}

func (a *application) revoke() error {
	for _, r := range a.batch.Revoke {
		n, err := dropFamily(a.tx, r.RequestID, r.Types, a.now)
		if err != nil {
			return err
		}
		a.revoked += n
	}
	return nil
}

// dropFamily removes the tokens of a family, of the given types or (nil) all, and counts those that were
// live.
func dropFamily(t *kv.Tx, requestID string, types []grantstore.Type, now time.Time) (live int, err error) {
	members, err := familyOf(t, requestID)
	if err != nil || len(members) == 0 {
		return 0, err
	}
	kept := make([]grantstore.Ref, 0, len(members))
	for _, ref := range members {
		if len(types) > 0 && !slices.Contains(types, ref.Type) {
			kept = append(kept, ref)
			continue
		}
		g, err := loadGrant(t, ref)
		if err := t.Abandon(err); err != nil { // a damaged one serves no request
			return live, err
		}
		if g == nil {
			continue
		}
		revoked, _ := rules.Counts(ref.Type, judge(t, ref.Type, g, now))
		live += revoked
		dropGrantRow(t, ref, g)
	}
	if len(kept) == len(members) {
		return 0, nil
	}
	return live, saveFamily(t, requestID, kept)
}

func (a *application) store() error {
	access := a.batch.Access()
	for i := range a.batch.Store {
		given := &a.batch.Store[i]
		g := rules.Issue(given, access, a.consumed)
		if err := a.bind(g); err != nil {
			return err
		}
		if err := a.vacate(given.Ref); err != nil {
			return err
		}
		if err := insertGrant(a.tx, given.Ref, g); err != nil {
			return err
		}
	}
	return nil
}

// bind gives the grant the token number under which its session lets it live.
func (a *application) bind(g *records.Grant) error {
	if g.SessionId == "" {
		return nil
	}
	session, err := loadSession(a.tx, g.SessionId)
	if err != nil {
		return err
	}
	if rules.Outlives(a.consumed, session) {
		ended, err := loadEnded(a.tx, g.SessionId)
		if err != nil {
			return err
		}
		rules.Outlive(g, ended)
		return nil
	}
	use, err := a.attach(session, g.SessionId, g.ClientId)
	if err != nil {
		return err
	}
	g.TokenNumber = use.TokenNumber
	return a.tx.Save(layout.ClientUseKey(g.SessionId, g.ClientId), use)
}

// vacate makes room for a grant under a key that only an expired one may hold.
func (a *application) vacate(ref grantstore.Ref) error {
	old, err := loadGrant(a.tx, ref)
	if err != nil || old == nil {
		return err
	}
	if err := rules.Vacant(ref.Type, old, a.now); err != nil {
		return err
	}
	return dropGrant(a.tx, ref, old)
}
