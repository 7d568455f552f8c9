package postgres

// Batches of grants: the reads and writes of package steps.

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

func (s grants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	type answer struct {
		result  *grantstore.Result
		refused error
	}
	invalid, p := batch.Validate(), planBatch(batch)
	a, err := update(ctx, s.Engine, now, invalid, p, func(t *tx) (a answer, err error) {
		a.result, a.refused, err = steps.Apply(rows{t}, batch, now)
		t.ends = a.refused != nil || ends(batch)
		return a, err
	})
	return a.result, cmp.Or(err, a.refused)
}

// ends reports whether the answer to a batch acknowledges the end of tokens (rule 15). The access token
// deleted by an exchange does not count, because nobody requested its end: another host may accept it until
// its lease expires.
func ends(b *grantstore.Batch) bool {
	tokens := func(ref grantstore.Ref) bool {
		return ref.Type == grantstore.ReferenceToken || ref.Type == grantstore.RefreshToken
	}
	return b.Consume == nil && (len(b.Revoke) > 0 || slices.ContainsFunc(b.Delete, tokens))
}

// planBatch returns the plan of a batch. Its affinity is its session, if it names one.
func planBatch(b *grantstore.Batch) *plan {
	p := planOf(b.OperationID).operation(b.OperationID)
	for i := range b.Seen {
		p.grant(b.Seen[i].Ref)
	}
	for i := range b.Store {
		p.place(b.Store[i].Ref).session(b.Store[i].SessionID)
		p.affinity = cmp.Or(b.Store[i].SessionID, p.affinity)
	}
	for _, ref := range b.Delete {
		p.grant(ref)
	}
	if b.Slide != nil {
		p.session(b.Slide.SessionID)
		p.affinity = cmp.Or(b.Slide.SessionID, p.affinity)
	}
	if b.Use != nil {
		p.session(b.Use.SessionID)
		p.affinity = cmp.Or(b.Use.SessionID, p.affinity)
	}
	if b.Consume != nil {
		sid := ""
		if len(p.sids) > 0 { // stored grants have the session of the consumed one
			sid = p.sids[0]
		}
		p.exchange(b.Consume.Ref, sid)
	}
	for _, r := range b.Revoke {
		p.families = append(p.families, r.RequestID)
	}
	return p
}

// rows implements steps.Rows. Of two transactions that write the same row, the second waits for the first and
// then sees its writes: therefore each method says which row it writes.
type rows struct{ *tx }

var _ steps.Rows = rows{}

func (r rows) Operation(id string) (*records.Operation, error) { return r.operation(id), r.err }

func (r rows) Grant(ref grantstore.Ref) (*records.Grant, error) { return grant(r.grant(ref)), r.err }

func (r rows) Judge(t grantstore.Type, g *records.Grant) error {
	standing := &rules.Standing{}
	if rules.Bound(t, g) {
		standing = r.standing(g.GetSessionId(), g.GetClientId())
	}
	return rules.Judge(t, g, standing, r.now)
}

// Lines also writes one of them: this conflicts with a concurrent revocation of the family, which would miss
// what the reuse adds to it.
func (r rows) Lines(requestID string) (int, error) {
	lines := ofTypes(r.wholeFamily(requestID), grantstore.RefreshToken)
	if len(lines) > 0 {
		r.touch(lines[0])
	}
	return len(lines), r.err
}

func (r rows) Session(sid string) (*records.Session, error) { return r.session(sid), r.err }

func (r rows) Ended(sid string) (*records.Ended, error) { return r.ended(sid), r.err }

func (r rows) Client(sid, client string) (use *records.ClientUse, others int, err error) {
	others = len(r.clients(sid)) // reads all of them at once
	return proto.CloneOf(r.use(sid, client)), others, r.err
}

func (r rows) Answer(id string, answer *records.Operation) error {
	r.answer(id, answer)
	return r.err
}

// Replace moves a grant that is used to another table. Of two concurrent uses, the second waits for the first
// to delete the row, and then finds it used.
func (r rows) Replace(ref grantstore.Ref, _, next *records.Grant) error {
	if next == nil {
		r.remove(r.grant(ref))
	} else {
		r.put(transfer.Grants, string(records.RefBytes(ref)), next)
	}
	return r.err
}

func (r rows) DropAccess(ref grantstore.Ref, _ string) error {
	if token := r.grant(ref); token.now != nil {
		r.remove(token)
	}
	return r.err
}

// DropRelated finds what the plan has read under the lock of the consumed token: only its use adds more.
func (r rows) DropRelated(requestID string, types []grantstore.Type) error {
	for _, token := range ofTypes(r.family(requestID), types...) {
		r.remove(token)
	}
	return r.err
}

func (r rows) DropFamily(requestID string, types []grantstore.Type) (live int, err error) {
	live, _ = r.drop(ofTypes(r.wholeFamily(requestID), types...)...)
	return live, r.err
}

func (r rows) SaveSession(s *records.Session) error {
	r.put(transfer.Sessions, s.GetSessionId(), s)
	return r.err
}

// SaveClient writes a row that the end of the session deletes. For a client that is new to the session it
// therefore also writes the session's row.
func (r rows) SaveClient(s *records.Session, client string, use *records.ClientUse, joins bool) error {
	key := clientKey(s.GetSessionId(), client)
	r.put(transfer.Clients, key, use)
	if joins {
		r.touch(r.row(transfer.Sessions, s.GetSessionId()))
	} else {
		r.touch(r.row(transfer.Clients, key))
	}
	return r.err
}

// ofTypes returns the grants of the given types or, without types, all.
func ofTypes(list []*row, types ...grantstore.Type) []*row {
	return slices.DeleteFunc(list, func(r *row) bool {
		return len(types) > 0 && !slices.Contains(types, r.ref().Type)
	})
}
