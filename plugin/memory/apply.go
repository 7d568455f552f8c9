package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/plugin/rules"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s grants) Apply(ctx context.Context, batch *grantstore.Batch, now time.Time) (*grantstore.Result, error) {
	if err := batch.Validate(); err != nil {
		return nil, err
	}
	a := &application{batch: batch, now: now}
	if err := s.s.change(ctx, a.run); err != nil {
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
	now      time.Time
	consumed *records.Grant // what the batch consumes
	outlives bool           // consumed was let live by an ended record, and so are those issued for it
	result   grantstore.Result
	// refused is the answer of a batch that fails but for which something had to be changed all the same.
	refused error
}

func (a *application) run(t *tx) error {
	a.tx = t
	if before := load[records.Operation](t, transfer.Operations, a.batch.OperationID); before != nil {
		a.result.Revoked = int(before.GetRevoked())
		return nil
	}
	for _, step := range []func() error{a.seen, a.consume, a.use, a.slide, a.remove, a.revoke, a.store} {
		if err := step(); err != nil || a.refused != nil {
			return err
		}
	}
	t.save(transfer.Operations, a.batch.OperationID, &records.Operation{When: records.Nanos(a.now), Revoked: uint32(a.result.Revoked)})
	return nil
}

// seen checks that what the batch builds on is as its caller read it.
func (a *application) seen() error {
	for _, seen := range a.batch.Seen {
		g := a.grant(seen.Ref)
		if g == nil || ticketstore.KeyOf(string(g.GetData())) != seen.Data || a.judge(seen.Type, g, a.now) != nil {
			return fmt.Errorf("%s: %w", seen.Type, ticketstore.ErrConflict)
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
	verdict := a.judge(c.Type, g, a.now)
	if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) {
		return verdict
	}
	a.consumed = g
	a.outlives = g.GetSessionId() != "" && a.session(g.GetSessionId()) == nil
	if verdict != nil {
		return a.again(g)
	}
	switch {
	case c.Type == grantstore.AuthorizationCode:
		a.dropFamily(g.GetRequestId(), []grantstore.Type{grantstore.OpenIDRequest, grantstore.PKCERequest}, a.now)
	case len(g.GetAccess()) > 0:
		a.delete(transfer.Grants, string(g.GetAccess()))
	default:
		a.dropFamily(g.GetRequestId(), []grantstore.Type{grantstore.ReferenceToken}, a.now)
	}
	used := proto.CloneOf(g)
	used.Consumed = records.Nanos(a.now)
	a.saveUsed(string(records.RefBytes(c.Ref)), used, rules.Grace(c))
	return nil
}

// saveUsed writes a used grant that may be used again for that long. Without a grace, what notices its reuse is kept, and no more.
func (t *tx) saveUsed(key string, g *records.Grant, grace time.Duration) {
	g.Used = 1
	if grace > 0 {
		g.Used += uint64(grace)
	} else {
		g.SubjectId, g.Description, g.Access, g.Began, g.Data = "", "", nil, 0, nil
	}
	t.save(transfer.Grants, key, g)
}

// again is the use of a grant that was used before. A refresh token is forgiven within its grace, as long as what was issued for it was not
// revoked and its family has room. Else all that was issued for it is revoked, although the batch is refused.
func (a *application) again(g *records.Grant) error {
	lines := 0
	for _, member := range a.family(g.GetRequestId()) {
		if member.kind() == grantstore.RefreshToken {
			lines++
		}
	}
	forgiven := rules.UsedAgain(g, rules.Grace(a.batch.Consume), a.now) && lines > 0
	if forgiven && lines >= grantstore.MaxLines {
		return fmt.Errorf("its family has %d live refresh tokens: %w", lines, grantstore.ErrConsumed)
	}
	if !forgiven {
		a.rollback()
		a.dropFamily(g.GetRequestId(), nil, a.now)
		a.refused = grantstore.ErrConsumed
	}
	return nil
}

func (a *application) use() error {
	u := a.batch.Use
	if u == nil {
		return nil
	}
	use, err := a.attach(u.SessionID, u.ClientID)
	if err != nil {
		return err
	}
	use.Notify, use.Coordinated, use.Muted = u.Notify, u.Coordinated, uint32(u.Muted)
	a.saveUse(u.SessionID, u.ClientID, use)
	return nil
}

// attach returns the client's row in a session that must be live, as used now, for the caller to save.
func (a *application) attach(sid, client string) (*records.ClientUse, error) {
	if !rules.Live(a.session(sid), a.now) {
		return nil, grantstore.ErrSessionEnded
	}
	use := a.tx.use(sid, client)
	if use == nil {
		if len(a.clients(sid)) >= ticketstore.MaxClients {
			return nil, ticketstore.ErrTooManyClients
		}
		use = &records.ClientUse{FirstUsed: records.Nanos(a.now)}
	}
	use.Detached = false
	use.LastUsed = max(use.LastUsed, records.Nanos(a.now))
	return use, nil
}

// slide has a session live longer that is live and was not renewed lately.
func (a *application) slide() error {
	s := a.batch.Slide
	if s == nil {
		return nil
	}
	session := a.session(s.SessionID)
	if !rules.Slide(session, s, a.now) {
		return nil
	}
	a.result.Slid = true
	a.save(transfer.Sessions, s.SessionID, session)
	return nil
}

func (a *application) remove() error {
	for _, ref := range a.batch.Delete {
		if g := a.grant(ref); g != nil {
			if a.judge(ref.Type, g, a.now) == nil {
				a.result.Revoked++
			}
			a.delete(transfer.Grants, string(records.RefBytes(ref)))
		}
	}
	return nil
}

func (a *application) revoke() error {
	for _, r := range a.batch.Revoke {
		a.result.Revoked += a.dropFamily(r.RequestID, r.Types, a.now)
	}
	return nil
}

// dropFamily removes the unused tokens of a family, of the given types or (nil) all, and counts those that were live.
func (t *tx) dropFamily(requestID string, types []grantstore.Type, now time.Time) (live int) {
	for _, g := range t.family(requestID) {
		if len(types) > 0 && !slices.Contains(types, g.kind()) {
			continue
		}
		if t.judge(g.kind(), g.Grant, now) == nil {
			live++
		}
		t.delete(transfer.Grants, g.key)
	}
	return live
}

func (a *application) store() error {
	access := a.batch.Access()
	for i := range a.batch.Store {
		given := &a.batch.Store[i]
		g := records.FromGrant(given)
		if c := a.consumed; c != nil {
			g.RequestId, g.SubjectId, g.SessionId, g.ClientId, g.Offline = c.RequestId, c.SubjectId, c.SessionId, c.ClientId, c.Offline
			g.Began = cmp.Or(c.Began, c.Created)
		}
		if given.Type == grantstore.RefreshToken && access.Type != "" {
			g.Access = []byte(string(records.RefBytes(access)))
		}
		if err := a.bind(g); err != nil {
			return err
		}
		// Only an expired grant makes room for another under its key.
		if old := a.grant(given.Ref); old != nil && !rules.Expired(old, a.now) {
			return fmt.Errorf("%s: %w", given.Type, ticketstore.ErrExists)
		}
		a.save(transfer.Grants, string(records.RefBytes(given.Ref)), g)
	}
	return nil
}

// bind gives the grant the token number under which its session lets it live.
func (a *application) bind(g *records.Grant) error {
	if g.SessionId == "" {
		return nil
	}
	if a.outlives {
		g.TokenNumber, g.Outlives = rules.LeftOf(a.ended(g.SessionId), g.ClientId).GetTokenNumber(), true
		return nil
	}
	use, err := a.attach(g.SessionId, g.ClientId)
	if err != nil {
		return err
	}
	g.TokenNumber = use.TokenNumber
	a.saveUse(g.SessionId, g.ClientId, use)
	return nil
}
