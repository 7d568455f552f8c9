package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s grants) Apply(ctx context.Context, batch *grantstore.Batch, now time.Time) (*grantstore.Result, error) {
	if err := batch.Validate(); err != nil {
		return nil, err
	}
	a := &application{batch: batch}
	if err := s.s.change(ctx, now, a.run); err != nil {
		return nil, err
	}
	if a.refused != nil {
		return nil, a.refused
	}
	return &a.result, nil
}

// application is a batch on its way. Whatever a step has written is undone when a later one fails.
type application struct {
	*tx
	batch    *grantstore.Batch
	consumed *records.Grant // what the batch consumes
	outlives bool           // consumed was let live by an ended record, and so are those issued for it
	result   grantstore.Result
	// refused is the answer of a batch that fails but for which something had to be changed all the same.
	refused error
}

func (a *application) run(t *tx) error {
	a.tx = t
	if before := t.operation(a.batch.OperationID); before != nil {
		a.result.Revoked = int(before.GetRevoked())
		return nil
	}
	for _, step := range []func() error{a.seen, a.consume, a.use, a.slide, a.remove, a.store} {
		if err := step(); err != nil || a.refused != nil {
			return err
		}
	}
	t.answer(a.batch.OperationID, &records.Operation{Revoked: uint32(a.result.Revoked)})
	return nil
}

// answer keeps the answer to an operation.
func (t *tx) answer(id string, answer *records.Operation) {
	answer.When = records.Nanos(t.now)
	t.save(transfer.Operations, id, answer)
}

// seen checks that what the batch builds on is as its caller read it.
func (a *application) seen() error {
	for i := range a.batch.Seen {
		seen := &a.batch.Seen[i]
		g := a.grant(seen.Ref)
		if err := rules.Unchanged(seen, g, a.judge(seen.Type, g)); err != nil {
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
	g := a.grant(c.Ref)
	if g == nil {
		return fmt.Errorf("%s: %w", c.Type, ticketstore.ErrNotFound)
	}
	verdict := a.judge(c.Type, g)
	if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) {
		return verdict
	}
	a.consumed = g
	a.outlives = g.GetSessionId() != "" && a.session(g.GetSessionId()) == nil
	if verdict != nil {
		return a.again(g)
	}
	if access, known, types := rules.GoesWith(c.Type, g); known {
		a.delete(transfer.Grants, string(records.RefBytes(access)))
	} else {
		a.dropFamily(g.GetRequestId(), types)
	}
	used := rules.Used(g, rules.Grace(c), records.Nanos(a.now))
	a.save(transfer.Grants, string(records.RefBytes(c.Ref)), used)
	return nil
}

// again is the use of a grant that was used before. Where all that was issued for it is revoked, that is kept although the batch is refused.
func (a *application) again(g *records.Grant) error {
	lines := 0
	for _, member := range a.family(g.GetRequestId()) {
		if member.ref().Type == grantstore.RefreshToken {
			lines++
		}
	}
	revoke, err := rules.Reuse(g, a.batch.Consume, lines, a.now)
	if !revoke {
		return err
	}
	a.rollback()
	a.dropFamily(g.GetRequestId(), nil)
	a.refused = err
	return nil
}

func (a *application) use() error {
	u := a.batch.Use
	if u == nil {
		return nil
	}
	use, err := a.attach(u.SessionID, u.ClientID)
	if err == nil {
		rules.Registered(use, u)
		a.saveUse(u.SessionID, u.ClientID, use)
	}
	return err
}

// attach returns a client's row in a session that must be live, as used now, for the caller to save.
func (a *application) attach(sid, client string) (*records.ClientUse, error) {
	others := len(a.rows(nameOf(transfer.Clients, sid+"\x00")))
	return rules.Attach(a.session(sid), proto.CloneOf(a.tx.use(sid, client)), others, a.now)
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

// remove removes what the batch names, and families.
func (a *application) remove() error {
	for _, ref := range a.batch.Delete {
		if g := a.grant(ref); g != nil {
			revoked, consents := a.drop(ref, g)
			a.result.Revoked += revoked + consents
		}
	}
	for _, r := range a.batch.Revoke {
		a.result.Revoked += a.dropFamily(r.RequestID, r.Types)
	}
	return nil
}

// family returns the rows of the unused tokens of a request id.
func (t *tx) family(requestID string) []*row {
	if requestID == "" {
		return nil
	}
	return t.rows("f" + requestID + "\x00")
}

// dropFamily removes those of the given types, or (nil) all, and counts those that were live.
func (t *tx) dropFamily(requestID string, types []grantstore.Type) (live int) {
	for _, r := range t.family(requestID) {
		if len(types) == 0 || slices.Contains(types, r.ref().Type) {
			revoked, _ := t.drop(r.ref(), t.grant(r.ref()))
			live += revoked
		}
	}
	return live
}

func (a *application) store() error {
	for i := range a.batch.Store {
		given := &a.batch.Store[i]
		g := rules.Issue(given, a.batch.Access(), a.consumed)
		if err := a.bind(g); err != nil {
			return err
		}
		if err := rules.Vacant(given.Type, a.grant(given.Ref), a.now); err != nil {
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
	case a.outlives:
		rules.Outlive(g, a.ended(g.SessionId))
		return nil
	}
	use, err := a.attach(g.SessionId, g.ClientId)
	if err == nil {
		g.TokenNumber = use.TokenNumber
		a.saveUse(g.SessionId, g.ClientId, use)
	}
	return err
}
