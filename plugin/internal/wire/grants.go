package wire

// Messages of GrantsService.

import (
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// fromGrant returns the record of a grant, with its data and key.
func fromGrant(g *grantstore.Grant) *pb.GrantRecord {
	record := records.FromGrant(g)
	record.Consumed = records.Nanos(g.Consumed)
	return &pb.GrantRecord{Ref: records.RefBytes(g.Ref), Grant: record}
}

func fromGrantSummary(g *grantstore.Grant) *pb.GrantRecord {
	m := fromGrant(g)
	m.Grant.Data = nil
	return m
}

func (r *reader) grant(m *pb.GrantRecord) grantstore.Grant {
	if m.GetGrant() == nil {
		r.fail(ticketstore.Invalidf("grant", "is missing"))
		return grantstore.Grant{}
	}
	return records.GrantOf(r.ref(m.GetRef()), m.GetGrant())
}

// verdicts maps the values of dead to errors.
var verdicts = []struct {
	dead string
	err  error
}{{"session_ended", grantstore.ErrSessionEnded}, {"consumed", grantstore.ErrConsumed}}

// FromGetResult returns the answer of Get, which is both a grant and an error if the grant is dead. It
// returns nil if there is no grant or for any other error, which is then sent by Status.
func FromGetResult(f *grantstore.GetResult, err error) *pb.GetGrantResponse {
	if f == nil {
		return nil
	}
	m := &pb.GetGrantResponse{
		Grant: fromGrant(&f.Grant), Related: convertPointers(f.Related, fromGrant),
		Session: fromTimes(f.Session),
	}
	if err == nil {
		return m
	}
	for _, verdict := range verdicts {
		if errors.Is(err, verdict.err) && !errors.Is(err, ticketstore.ErrUnavailable) {
			m.Dead = verdict.dead
			return m
		}
	}
	return nil
}

func fromTimes(s *grantstore.SessionTimes) *pb.SessionTimes {
	if s == nil {
		return nil
	}
	return &pb.SessionTimes{
		Renewed: records.Nanos(s.Renewed), Expires: records.Nanos(s.Expires), EndsAt: records.Nanos(s.EndsAt),
	}
}

func toTimes(m *pb.SessionTimes) *grantstore.SessionTimes {
	if m == nil {
		return nil
	}
	return &grantstore.SessionTimes{
		Renewed: records.Moment(m.GetRenewed()), Expires: records.Moment(m.GetExpires()),
		EndsAt: records.Moment(m.GetEndsAt()),
	}
}

// FromApplied returns the answer of Apply.
func FromApplied(r *grantstore.Result) *pb.ApplyBatchResponse {
	return &pb.ApplyBatchResponse{Revoked: int64(r.Revoked), Slid: r.Slid, Session: fromTimes(r.Session)}
}

// ToApplied is the reverse of FromApplied.
func ToApplied(m *pb.ApplyBatchResponse) *grantstore.Result {
	return &grantstore.Result{
		Revoked: int(m.GetRevoked()), Slid: m.GetSlid(), Session: toTimes(m.GetSession()),
	}
}

// ToGetResult returns the grant and, if it is dead, the reason.
func ToGetResult(m *pb.GetGrantResponse) (found *grantstore.GetResult, dead, err error) {
	var r reader
	found = &grantstore.GetResult{
		Grant: r.grant(m.GetGrant()), Related: convert(m.GetRelated(), r.grant),
		Session: toTimes(m.GetSession()),
	}
	for _, verdict := range verdicts {
		if m.GetDead() == verdict.dead {
			dead = verdict.err
		}
	}
	if m.GetDead() != "" && dead == nil {
		r.fail(ticketstore.Invalidf("dead", "is not a reason for a grant to be dead"))
	}
	return found, dead, r.err
}

// FromBatch returns the request of a batch.
func FromBatch(b *grantstore.Batch, now time.Time) *pb.ApplyBatchRequest {
	m := &pb.ApplyBatchRequest{
		OperationId: b.OperationID,
		Seen:        convert(b.Seen, fromSeen),
		Delete:      convert(b.Delete, records.RefBytes),
		Revoke:      convert(b.Revoke, fromRevocation),
		Store:       convertPointers(b.Store, fromGrant),
		Now:         records.Nanos(now),
	}
	if u := b.Use; u != nil {
		m.Use = &pb.Use{
			SessionId: u.SessionID, ClientId: u.ClientID, Notify: u.Notify, Coordinated: u.Coordinated,
			Muted: uint32(u.Muted),
		}
	}
	if s := b.Slide; s != nil {
		m.Slide = &pb.Slide{
			SessionId: s.SessionID, Expires: records.Nanos(s.Expires),
			RenewedBefore: records.Nanos(s.RenewedBefore),
		}
	}
	if c := b.Consume; c != nil {
		m.Consume = &pb.Consumption{Ref: records.RefBytes(c.Ref), Grace: int64(c.Grace)}
	}
	return m
}

// ToBatch returns the batch of a request.
func ToBatch(m *pb.ApplyBatchRequest) (*grantstore.Batch, error) {
	var r reader
	b := &grantstore.Batch{
		OperationID: m.GetOperationId(),
		Seen:        convert(m.GetSeen(), r.seen),
		Delete:      convert(m.GetDelete(), r.ref),
		Revoke:      convert(m.GetRevoke(), toRevocation),
		Store:       convert(m.GetStore(), r.grant),
	}
	if u := m.GetUse(); u != nil {
		b.Use = &grantstore.Use{
			SessionID: u.GetSessionId(), ClientID: u.GetClientId(), Notify: u.GetNotify(),
			Coordinated: u.GetCoordinated(),
			Muted:       r.ends("muted", u.GetMuted()),
		}
	}
	if s := m.GetSlide(); s != nil {
		b.Slide = &grantstore.Slide{
			SessionID: s.GetSessionId(), Expires: records.Moment(s.GetExpires()),
			RenewedBefore: records.Moment(s.GetRenewedBefore()),
		}
	}
	if c := m.GetConsume(); c != nil {
		b.Consume = &grantstore.Consumption{Ref: r.ref(c.GetRef()), Grace: time.Duration(c.GetGrace())}
	}
	return b, r.err
}

func fromSeen(s grantstore.Precondition) *pb.Seen {
	return &pb.Seen{Ref: records.RefBytes(s.Ref), Data: fromKey(s.Data)}
}

func (r *reader) seen(m *pb.Seen) grantstore.Precondition {
	return grantstore.Precondition{Ref: r.ref(m.GetRef()), Data: r.key("seen", m.GetData())}
}

func fromRevocation(v grantstore.Revocation) *pb.Revocation {
	types := convert(v.Types, func(t grantstore.Type) string { return string(t) })
	return &pb.Revocation{RequestId: v.RequestID, Types: types}
}

func toRevocation(m *pb.Revocation) grantstore.Revocation {
	types := convert(m.GetTypes(), func(t string) grantstore.Type { return grantstore.Type(t) })
	return grantstore.Revocation{RequestID: m.GetRequestId(), Types: types}
}

// FromGrantQuery returns the request of a query.
func FromGrantQuery(q grantstore.Query, now time.Time) *pb.QueryGrantsRequest {
	return &pb.QueryGrantsRequest{
		Filter: fromGrantFilter(q.Filter), Order: string(q.Order), Count: FromLimit(q.Count),
		ResultsToken: q.ResultsToken, Prior: q.Prior, Now: records.Nanos(now),
	}
}

// ToGrantQuery returns the query of a request.
func ToGrantQuery(m *pb.QueryGrantsRequest) grantstore.Query {
	return grantstore.Query{
		Filter: toGrantFilter(m.GetFilter()), Order: ticketstore.Order(m.GetOrder()),
		Count:        int(m.GetCount()),
		ResultsToken: m.GetResultsToken(), Prior: m.GetPrior(),
	}
}

// FromGrantPage returns the answer of a query, without the grants' data.
func FromGrantPage(p *grantstore.Page) *pb.QueryGrantsResponse {
	return &pb.QueryGrantsResponse{
		Grants: convertPointers(p.Grants, fromGrantSummary), ResultsToken: p.ResultsToken,
		HasPrev: p.HasPrev, HasNext: p.HasNext,
	}
}

// ToGrantPage returns the page of an answer, dropping the grants' data if the message has it.
func ToGrantPage(m *pb.QueryGrantsResponse) (*grantstore.Page, error) {
	var r reader
	page := &grantstore.Page{
		Grants: convert(m.GetGrants(), r.grant), ResultsToken: m.GetResultsToken(),
		HasPrev: m.GetHasPrev(), HasNext: m.GetHasNext(),
	}
	for i := range page.Grants {
		page.Grants[i].Data = nil
	}
	return page, r.err
}

// FromRemoval returns the request of a removal.
func FromRemoval(r grantstore.Removal, now time.Time) *pb.RemoveGrantsRequest {
	return &pb.RemoveGrantsRequest{
		OperationId: r.OperationID, Filter: fromGrantFilter(r.Filter), Limit: FromLimit(r.Limit),
		After: r.After,
		Now:   records.Nanos(now), AsOf: records.Nanos(r.AsOf),
	}
}

// ToRemoval returns the removal of a request.
func ToRemoval(m *pb.RemoveGrantsRequest) grantstore.Removal {
	return grantstore.Removal{
		OperationID: m.GetOperationId(), Filter: toGrantFilter(m.GetFilter()), Limit: int(m.GetLimit()),
		After: m.GetAfter(),
		AsOf:  records.Moment(m.GetAsOf()),
	}
}

func fromGrantFilter(f grantstore.Filter) *pb.GrantFilter {
	return &pb.GrantFilter{
		SubjectId: f.SubjectID, SessionId: f.SessionID, ClientId: f.ClientID, Type: string(f.Type),
	}
}

func toGrantFilter(m *pb.GrantFilter) grantstore.Filter {
	return grantstore.Filter{
		SubjectID: m.GetSubjectId(), SessionID: m.GetSessionId(), ClientID: m.GetClientId(),
		Type: grantstore.Type(m.GetType()),
	}
}
