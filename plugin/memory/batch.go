package memory

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
	var refused error
	result, err := change(ctx, s.Store, now, batch.Validate(), func(t *tx) (_ *grantstore.Result, err error) {
		var result *grantstore.Result
		result, refused, err = steps.Apply(rows{t}, batch, now)
		return result, err
	})
	return result, cmp.Or(err, refused)
}

// rows implements steps.Rows over a transaction.
type rows struct{ *tx }

var _ steps.Rows = rows{}

func (r rows) Operation(id string) (*records.Operation, error) { return r.operation(id), nil }

func (r rows) Grant(ref grantstore.Ref) (*records.Grant, error) { return r.grantAt(ref).grant(), nil }

func (r rows) Judge(t grantstore.Type, g *records.Grant) error {
	return rules.Judge(t, g, r.standing(g), r.now)
}

func (r rows) Lines(requestID string) (int, error) {
	return len(r.unused(requestID, grantstore.RefreshToken)), nil
}

func (r rows) Session(sid string) (*records.Session, error) { return r.session(sid), nil }

func (r rows) Ended(sid string) (*records.Ended, error) { return r.ended(sid), nil }

func (r rows) Client(sid, client string) (use *records.ClientUse, others int, err error) {
	return proto.CloneOf(r.use(sid, client)), len(r.rows(clientsOf(sid))), nil
}

func (r rows) Answer(id string, answer *records.Operation) error {
	r.answer(id, answer)
	return nil
}

func (r rows) Replace(ref grantstore.Ref, _, next *records.Grant) error {
	if key := string(records.RefBytes(ref)); next != nil {
		r.save(transfer.Grants, key, next)
	} else {
		r.delete(transfer.Grants, key)
	}
	return nil
}

func (r rows) DropAccess(ref grantstore.Ref, _ string) error { return r.Replace(ref, nil, nil) }

func (r rows) DropRelated(requestID string, types []grantstore.Type) error {
	_, err := r.DropFamily(requestID, types)
	return err
}

func (r rows) DropFamily(requestID string, types []grantstore.Type) (live int, err error) {
	live, _ = r.drop(r.unused(requestID, types...)...)
	return live, nil
}

func (r rows) SaveSession(s *records.Session) error {
	r.save(transfer.Sessions, s.SessionId, s)
	return nil
}

func (r rows) SaveClient(s *records.Session, client string, use *records.ClientUse, _ bool) error {
	r.save(transfer.Clients, clientKey(s.SessionId, client), use)
	return nil
}

// unused returns the unused tokens of a request id, of the given types or, without types, of all.
func (t *tx) unused(requestID string, types ...grantstore.Type) []*row {
	return t.where(familyOf(requestID), func(r *row) bool {
		return len(types) == 0 || slices.Contains(types, r.ref().Type)
	})
}
