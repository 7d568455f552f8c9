package memory

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
) (*grantstore.Result, error) {
	a := &application{batch: batch}
	result, err := change(ctx, s.Store, now, batch.Validate(), a.run)
	if err == nil && a.refused != nil {
		return nil, a.refused
	}
	return result, err
}

// application is a batch on its way. Whatever a step has written is undone when a later one fails.
type application struct {
	*tx
	batch    *grantstore.Batch
	consumed *records.Grant // what the batch consumes
	result   grantstore.Result
	// refused is the answer of a batch that fails but that must change something even so.
	refused error
}

func (a *application) run(t *tx) (*grantstore.Result, error) {
	a.tx = t
	if before := t.operation(a.batch.OperationID); before != nil {
		return &grantstore.Result{Revoked: int(before.Revoked)}, nil
	}
	steps := rules.Steps{
		Seen: a.seen, Consume: a.consume, Use: a.use, Slide: a.slide, Remove: a.remove, Revoke: a.revoke,
		Store: a.store,
	}
	for _, step := range steps.InOrder() {
		if err := step(); err != nil || a.refused != nil {
			return nil, err
		}
	}
	t.answer(a.batch.OperationID, &records.Operation{Revoked: uint32(a.result.Revoked)})
	return &a.result, nil
}

// seen checks that what the batch builds on is as its caller read it.
func (a *application) seen() error {
	for i := range a.batch.Seen {
		var verdict error
		r := a.grantAt(a.batch.Seen[i].Ref)
		if r != nil {
			verdict = a.judge(r)
		}
		if err := rules.Unchanged(&a.batch.Seen[i], r.grant(), verdict); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) consume() error {
	c := a.batch.Consume
	if c == nil {
		return nil
	}
	r := a.grantAt(c.Ref)
	if r == nil {
		return missing(string(c.Type))
	}
	g, verdict := r.grant(), a.judge(r)
	if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) {
		return verdict
	}
	a.consumed = g
	if verdict != nil {
		return a.again()
	}
	if access, known, types := rules.GoesWith(c.Type, g); known {
		a.delete(transfer.Grants, string(records.RefBytes(access)))
	} else {
		a.dropFamily(g.RequestId, types)
	}
	a.save(r.kind, r.key, rules.Used(g, rules.Grace(c), records.Nanos(a.now)))
	return nil
}

// again is the use of a grant that was used before. Where all that was issued for it is revoked, that is kept
// although the batch is refused.
func (a *application) again() error {
	family := familyOf(a.consumed.RequestId)
	lines := a.where(family, func(r *row) bool { return r.ref().Type == grantstore.RefreshToken })
	revoke, err := rules.Reuse(a.consumed, a.batch.Consume, len(lines), a.now)
	if revoke {
		a.rollback()
		a.drop(a.rows(family)...)
		a.refused, err = err, nil
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

// attach notes that a client uses a session, which must be live, and what it says of itself, if anything.
func (a *application) attach(sid, client string, said *grantstore.Use) (*records.ClientUse, error) {
	use, others := proto.CloneOf(a.tx.use(sid, client)), len(a.rows(clientsOf(sid)))
	use, err := rules.Attach(a.session(sid), use, others, a.now)
	if err != nil {
		return nil, err
	}
	if said != nil {
		rules.Registered(use, said)
	}
	a.save(transfer.Clients, sid+"\x00"+client, use)
	return use, nil
}

func (a *application) slide() error {
	s := a.batch.Slide
	if s == nil {
		return nil
	}
	session := proto.CloneOf(a.session(s.SessionID))
	if a.result.Slid = rules.Slide(session, s, a.now); a.result.Slid {
		a.save(transfer.Sessions, s.SessionID, session)
	}
	return nil
}

func (a *application) remove() error {
	for _, ref := range a.batch.Delete {
		if r := a.grantAt(ref); r != nil {
			revoked, consents := a.drop(r)
			a.result.Revoked += revoked + consents
		}
	}
	return nil
}

func (a *application) revoke() error {
	for _, r := range a.batch.Revoke {
		a.result.Revoked += a.dropFamily(r.RequestID, r.Types)
	}
	return nil
}

// dropFamily removes the unused tokens of a request id, of the given types or (nil) all, and counts those
// that were live.
func (t *tx) dropFamily(requestID string, types []grantstore.Type) (live int) {
	live, _ = t.drop(t.where(familyOf(requestID), func(r *row) bool {
		return len(types) == 0 || slices.Contains(types, r.ref().Type)
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
		if err := rules.Vacant(given.Type, a.grantAt(given.Ref).grant(), a.now); err != nil {
			return err
		}
		a.save(transfer.Grants, string(records.RefBytes(given.Ref)), g)
	}
	return nil
}

// bind gives the grant the token number under which its session lets it live.
func (a *application) bind(g *records.Grant) error {
	switch {
	case g.SessionId == "":
		return nil
	case rules.Outlives(a.consumed, a.session(g.SessionId)):
		rules.Outlive(g, a.ended(g.SessionId)) // as what it is exchanged for does
		return nil
	}
	use, err := a.attach(g.SessionId, g.ClientId, nil)
	g.TokenNumber = use.GetTokenNumber()
	return err
}
