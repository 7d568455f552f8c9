package postgres

// Batches of grants: the steps of one, in their order.

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

func (s grants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (result *grantstore.Result, err error) {
	if err := batch.Validate(); err != nil {
		return nil, err
	}
	var a *application
	err = s.update(ctx, now, planBatch(batch), func(t *tx) error {
		a = &application{tx: t, batch: batch}
		return a.run()
	})
	switch {
	case err != nil:
		return nil, err
	case a.refused != nil:
		return nil, a.refused
	}
	return &a.result, nil
}

// planBatch says what a batch needs, and in which lane it goes: that of its session where it names one.
func planBatch(b *grantstore.Batch) *plan {
	p := planOf(b.OperationID).operation(b.OperationID)
	for i := range b.Seen {
		p.grant(b.Seen[i].Ref)
	}
	for i := range b.Store {
		p.grant(b.Store[i].Ref).session(b.Store[i].SessionID)
		p.lane = laneOf(b.Store[i].SessionID, p.lane)
	}
	for _, ref := range b.Delete {
		p.grant(ref)
	}
	if b.Slide != nil {
		p.session(b.Slide.SessionID)
		p.lane = laneOf(b.Slide.SessionID, p.lane)
	}
	if b.Use != nil {
		p.session(b.Use.SessionID)
		p.lane = laneOf(b.Use.SessionID, p.lane)
	}
	if b.Consume != nil {
		p.exchange(b.Consume.Ref)
	}
	for _, r := range b.Revoke {
		p.families = append(p.families, r.RequestID)
	}
	return p
}

func laneOf(sid, otherwise string) string {
	if sid == "" {
		return otherwise
	}
	return sid
}

// application is a batch on its way. What a step has written is undone when a later one fails.
type application struct {
	*tx
	batch    *grantstore.Batch
	consumed *records.Grant // what the batch consumes
	result   grantstore.Result
	// refused is the answer of a batch that fails but that must change something even so.
	refused error
}

func (a *application) run() error {
	if before := a.operation(a.batch.OperationID); before != nil {
		a.result.Revoked = int(before.GetRevoked())
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
	a.answer(a.batch.OperationID, &records.Operation{Revoked: uint32(a.result.Revoked)})
	return nil
}

// seen checks that what the batch builds on is as its caller read it.
func (a *application) seen() error {
	for i := range a.batch.Seen {
		var verdict error
		r := a.grant(a.batch.Seen[i].Ref)
		if r.now != nil {
			verdict = a.judge(r)
		}
		if err := rules.Unchanged(&a.batch.Seen[i], grant(r), verdict); err != nil {
			return err
		}
	}
	return nil
}

// consume moves the grant to those that were used. Of two that do so, the second waits for the first to
// delete the row, and finds it used.
func (a *application) consume() error {
	c := a.batch.Consume
	if c == nil {
		return nil
	}
	r := a.grant(c.Ref)
	if r.now == nil {
		return missing(string(c.Type))
	}
	g, verdict := grant(r), a.judge(r)
	if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) {
		return verdict
	}
	a.consumed = g
	if verdict != nil {
		return a.again()
	}
	if access, known, types := rules.GoesWith(c.Type, g); known {
		if r := a.grant(access); r.now != nil {
			a.tx.remove(r)
		}
	} else {
		a.dropOf(a.family(g.GetRequestId()), types)
	}
	a.put(r.kind, r.key, rules.Used(g, rules.Grace(c), records.Nanos(a.now)))
	return nil
}

// again is the use of a grant that was used before. Where all that was issued for it is revoked, that is kept
// although the batch is refused.
func (a *application) again() error {
	family := a.wholeFamily(a.consumed.GetRequestId())
	lines := slices.DeleteFunc(slices.Clone(family), func(r *row) bool {
		return r.ref().Type != grantstore.RefreshToken
	})
	revoke, err := rules.Reuse(a.consumed, a.batch.Consume, len(lines), a.now)
	switch {
	case revoke:
		a.drop(family...)
		a.refused, err = err, nil
	case err == nil:
		a.touch(lines[0]) // a revocation of the family, at once, conflicts with what this use adds to it
	}
	return err
}

func (a *application) use() error {
	u := a.batch.Use
	if u == nil {
		return nil
	}
	_, err := a.attach(u.SessionID, u.ClientID, u)
	return err
}

// attach notes that a client uses a session, which must be live, and what it says of itself, if anything. It
// writes a row that the end of the session deletes: of the two, the second waits and sees what the first did.
// A client that is new to the session writes the session's own row for that.
func (a *application) attach(sid, client string, said *grantstore.Use) (*records.ClientUse, error) {
	session, others := a.session(sid), a.clients(sid)
	before := a.tx.use(sid, client)
	use, err := rules.Attach(session, proto.CloneOf(before), len(others), a.now)
	if err != nil {
		return nil, err
	}
	if said != nil {
		rules.Registered(use, said)
	}
	a.put(transfer.Clients, clientKey(sid, client), use)
	if before == nil {
		a.touch(a.row(transfer.Sessions, sid))
	} else {
		a.touch(a.row(transfer.Clients, clientKey(sid, client)))
	}
	return use, nil
}

func (a *application) slide() error {
	s := a.batch.Slide
	if s == nil {
		return nil
	}
	session := proto.CloneOf(a.session(s.SessionID))
	if a.result.Slid = rules.Slide(session, s, a.now); a.result.Slid {
		a.put(transfer.Sessions, s.SessionID, session)
	}
	return nil
}

func (a *application) remove() error {
	for _, ref := range a.batch.Delete {
		if r := a.grant(ref); r.now != nil {
			revoked, consents := a.drop(r)
			a.result.Revoked += revoked + consents
		}
	}
	return nil
}

func (a *application) revoke() error {
	for _, r := range a.batch.Revoke {
		a.result.Revoked += a.dropOf(a.wholeFamily(r.RequestID), r.Types)
	}
	return nil
}

// dropOf removes those of the tokens that are of the given types, or (nil) all, and counts those that were
// live.
func (t *tx) dropOf(family []*row, types []grantstore.Type) (live int) {
	live, _ = t.drop(slices.DeleteFunc(family, func(r *row) bool {
		return len(types) > 0 && !slices.Contains(types, r.ref().Type)
	})...)
	return live
}

func (a *application) store() error {
	for i := range a.batch.Store {
		given := &a.batch.Store[i]
		g := rules.Issue(given, a.batch.Access(), a.consumed)
		if err := a.bind(g); err != nil {
			return err
		}
		r := a.grant(given.Ref)
		if err := rules.Vacant(given.Type, grant(r), a.now); err != nil {
			return err
		}
		a.put(transfer.Grants, r.key, proto.CloneOf(g))
	}
	return nil
}

// bind gives the grant the token number under which its session lets it live.
func (a *application) bind(g *records.Grant) error {
	switch {
	case g.GetSessionId() == "":
		return nil
	case rules.Outlives(a.consumed, a.session(g.GetSessionId())):
		rules.Outlive(g, a.ended(g.GetSessionId())) // as what it is exchanged for does
		return nil
	}
	use, err := a.attach(g.GetSessionId(), g.GetClientId(), nil)
	g.TokenNumber = use.GetTokenNumber()
	return err
}
