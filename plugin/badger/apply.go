package badger

// Batches of grants: the reads and writes of package steps.

import (
	"cmp"
	"context"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (s grants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	if err := batch.Validate(); err != nil {
		return nil, err
	}
	var result *grantstore.Result
	var refused error
	err := s.e.update(ctx, func(tx *kv.Tx) (err error) { // may be called twice
		result, refused, err = applyBatch(tx, batch, now)
		return err
	})
	if err = cmp.Or(err, refused); err != nil {
		return nil, err
	}
	return result, nil
}

// applyBatch applies a batch, see steps.Apply.
func applyBatch(
	tx *kv.Tx, batch *grantstore.Batch, now time.Time,
) (result *grantstore.Result, refused, err error) {
	r := &rows{tx: tx, now: now, families: families{tx: tx}}
	if result, refused, err = steps.Apply(r, batch, now); err == nil {
		err = r.families.save()
	}
	return result, refused, err
}

// rows implements steps.Rows over a change. All writes go through the committer, so nothing changes between
// its reads and writes.
type rows struct {
	tx  *kv.Tx
	now time.Time
	// families is saved last: a batch changes its family with each grant that it uses, stores and removes.
	families families
	// session is the last session read or written: the grants that a batch uses and stores share one.
	session *records.Session
}

var _ steps.Rows = (*rows)(nil)

func (r *rows) Operation(id string) (*records.Operation, error) {
	return kv.Find[records.Operation](r.tx, layout.OperationKey(id))
}

func (r *rows) Grant(ref grantstore.Ref) (*records.Grant, error) { return grantrows.Load(r.tx, ref) }

func (r *rows) Judge(t grantstore.Type, g *records.Grant) error {
	standing, err := judged(r.tx, t, g, r.now)
	if standing.Session != nil {
		r.session = standing.Session
	}
	return err
}

func (r *rows) Lines(requestID string) (n int, err error) {
	members, err := r.families.of(requestID)
	for _, ref := range members {
		if ref.Type == grantstore.RefreshToken {
			n++
		}
	}
	return n, err
}

func (r *rows) Session(sid string) (session *records.Session, err error) {
	if r.session != nil && r.session.GetSessionId() == sid {
		return r.session, nil
	}
	if session, err = loadSession(r.tx, sid); session != nil {
		r.session = session
	}
	return session, err
}

func (r *rows) Ended(sid string) (*records.Ended, error) { return loadEnded(r.tx, sid) }

func (r *rows) Client(sid, client string) (use *records.ClientUse, others int, err error) {
	if use, err = loadClientUse(r.tx, sid, client); err != nil || use != nil {
		return use, 0, err
	}
	prefix := layout.ClientUsePrefix(sid)
	others, err = countKeys(r.tx, prefix, ticketstore.MaxClients)
	if err != nil || others < 0 {
		return nil, ticketstore.MaxClients, err
	}
	// Add the batch's own writes, which a scan does not see.
	written, err := r.tx.NewUnder(prefix)
	return nil, others + written, err
}

func (r *rows) Answer(id string, answer *records.Operation) error {
	return saveAnswer(r.tx, id, answer)
}

// saveAnswer stores the answer to an operation in the transaction of the operation.
func saveAnswer(t *kv.Tx, id string, answer *records.Operation) error {
	t.Gather(layout.OperationAge(answer.GetWhen()), id)
	return t.Save(layout.OperationKey(id), answer)
}

func (r *rows) Replace(ref grantstore.Ref, old, next *records.Grant) error {
	return replaceGrant(&r.families, ref, old, next)
}

func (r *rows) DropAccess(ref grantstore.Ref, requestID string) error {
	g, err := grantrows.Load(r.tx, ref)
	if err := r.tx.Abandon(err); err != nil {
		return err
	}
	if g == nil {
		_, err := r.families.forget(ref, requestID)
		return err
	}
	return replaceGrant(&r.families, ref, g, nil)
}

func (r *rows) DropRelated(requestID string, types []grantstore.Type) error {
	return r.families.drop(requestID, types, func(grantstore.Ref, *records.Grant) {})
}

func (r *rows) DropFamily(requestID string, types []grantstore.Type) (live int, err error) {
	err = r.families.drop(requestID, types, func(ref grantstore.Ref, g *records.Grant) {
		revoked, _ := rules.Counts(ref.Type, r.Judge(ref.Type, g))
		live += revoked
	})
	return live, err
}

func (r *rows) SaveSession(s *records.Session) error {
	r.session = s
	return saveSession(r.tx, s, false)
}

func (r *rows) SaveClient(s *records.Session, client string, use *records.ClientUse, joins bool) error {
	if joins {
		if err := listSession(r.tx, s, client, +1); err != nil {
			return err
		}
	}
	return r.tx.Save(layout.ClientUseKey(s.GetSessionId(), client), use)
}
