package steps

// Batches of grants (rules 2 and 3).

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// batch is the state of a batch while it is applied.
type batch struct {
	*grantstore.Batch
	rows     Rows
	now      time.Time
	consumed *records.Grant // what the batch consumes
	attached client         // the client that used the session last
	session  *records.Session
	result   *grantstore.Result
	refused  error
}

// client is a client in a session, with the token number that lets its tokens live.
type client struct {
	sid, id     string
	tokenNumber uint64
}

// inOrder are the steps of a batch. Steps that can refuse the batch precede those that change rows. Storing
// comes last, so that a batch that revokes a family or deletes a key does not remove the grants that it
// stores.
var inOrder = [...]func(b *batch) error{
	(*batch).checkSeen, (*batch).consume, (*batch).use, (*batch).slide, (*batch).remove, (*batch).revoke,
	(*batch).store,
}

// Apply applies a valid batch at now. After an error the caller must roll back everything that was written.
// refused is a different kind of error: the batch failed because its code or refresh token was used before,
// and the caller must commit what was written, the revocation of the family, before returning it.
func Apply(
	rows Rows, of *grantstore.Batch, now time.Time,
) (result *grantstore.Result, refused, err error) {
	before, err := rows.Operation(of.OperationID)
	if err != nil {
		return nil, nil, err
	}
	if before != nil {
		return &grantstore.Result{Revoked: int(before.GetRevoked())}, nil, nil
	}
	b := &batch{Batch: of, rows: rows, now: now, result: &grantstore.Result{}}
	for _, step := range inOrder {
		if err := step(b); err != nil || b.refused != nil {
			return nil, b.refused, err
		}
	}
	answer := &records.Operation{When: records.Nanos(now), Revoked: uint32(b.result.Revoked)}
	if err := rows.Answer(of.OperationID, answer); err != nil {
		return nil, nil, err
	}
	b.result.Session = b.times()
	return b.result, nil, nil
}

// times returns the times of the session of the stored grants if they were stored exactly as the batch has
// them, else nil.
func (b *batch) times() *grantstore.SessionTimes {
	if len(b.Store) == 0 || b.attached.sid == "" || b.result.Slid {
		return nil
	}
	for i := range b.Store {
		if g := &b.Store[i]; g.SessionID != b.attached.sid || !rules.IssuedAsGiven(g, b.consumed) {
			return nil
		}
	}
	return records.SessionTimesOf(b.session)
}

// checkSeen checks that the grants which the batch depends on are unchanged since its caller read them. The
// transaction keeps them so.
func (b *batch) checkSeen() error {
	for i := range b.Seen {
		seen := &b.Seen[i]
		g, err := b.rows.Grant(seen.Ref)
		if err != nil {
			return err
		}
		var verdict error
		if g != nil {
			verdict = b.rows.Judge(seen.Type, g)
		}
		if err := rules.Unchanged(seen, g, verdict); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) use() error {
	if b.Use == nil {
		return nil
	}
	session, err := b.rows.Session(b.Use.SessionID)
	if err != nil {
		return err
	}
	return b.attach(session, client{sid: b.Use.SessionID, id: b.Use.ClientID}, b.Use)
}

// attach records that a client uses a session, which must be live (nil: it has ended), with the client's
// registration if said is not nil.
func (b *batch) attach(session *records.Session, c client, said *grantstore.Use) error {
	use, others, err := b.rows.Client(c.sid, c.id)
	if err != nil {
		return err
	}
	joins := !rules.Shown(use)
	if use, err = rules.Attach(session, use, others, b.now); err != nil {
		return err
	}
	if said != nil {
		rules.Registered(use, said)
	}
	c.tokenNumber = use.GetTokenNumber()
	b.attached, b.session = c, session
	return b.rows.SaveClient(session, c.id, use, joins)
}

func (b *batch) slide() error {
	if b.Slide == nil {
		return nil
	}
	session, err := b.rows.Session(b.Slide.SessionID)
	if err != nil {
		return err
	}
	slid := rules.Slide(session, b.Slide, b.now)
	if slid == nil {
		return nil
	}
	b.result.Slid = true
	return b.rows.SaveSession(slid)
}

func (b *batch) remove() error {
	for _, ref := range b.Delete {
		g, err := b.rows.Grant(ref)
		if err != nil {
			return err
		}
		if g == nil {
			continue
		}
		revoked, consents := rules.Counts(ref.Type, b.rows.Judge(ref.Type, g))
		b.result.Revoked += revoked + consents
		if err := b.rows.Replace(ref, g, nil); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) revoke() error {
	for _, r := range b.Revoke {
		live, err := b.rows.DropFamily(r.RequestID, r.Types)
		if err != nil {
			return err
		}
		b.result.Revoked += live
	}
	return nil
}

func (b *batch) store() error {
	access := b.Access()
	for i := range b.Store {
		given := &b.Store[i]
		g := rules.Issue(given, access, b.consumed)
		if err := b.bind(g); err != nil {
			return err
		}
		old, err := b.rows.Grant(given.Ref)
		if err != nil {
			return err
		}
		if err := rules.Vacant(given.Type, old, b.now); err != nil {
			return err
		}
		if err := b.rows.Replace(given.Ref, old, g); err != nil {
			return err
		}
	}
	return nil
}

// bind sets a grant's token number so that its session lets it live.
func (b *batch) bind(g *records.Grant) error {
	c := client{sid: g.SessionId, id: g.ClientId}
	switch {
	case c.sid == "":
		return nil
	case c.sid == b.attached.sid && c.id == b.attached.id: // its client already uses the session
		g.TokenNumber = b.attached.tokenNumber
		return nil
	}
	session, err := b.rows.Session(c.sid)
	if err != nil {
		return err
	}
	if rules.Outlives(b.consumed, session) {
		ended, err := b.rows.Ended(c.sid)
		if err == nil {
			rules.Outlive(g, ended)
		}
		return err
	}
	err = b.attach(session, c, nil)
	g.TokenNumber = b.attached.tokenNumber
	return err
}
