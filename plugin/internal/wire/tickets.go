package wire

// Messages of TicketsService.

import (
	"time"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ToSession returns the session of a record.
func ToSession(m *records.Session) (*ticketstore.Session, error) {
	if m == nil {
		return nil, ticketstore.Invalidf("session", "is missing")
	}
	if _, err := Key("key", m.GetKey()); err != nil {
		return nil, err
	}
	return records.SessionOf(m), nil
}

// FromDetail returns the message of a session with its clients, without key and ticket.
func FromDetail(d *ticketstore.SessionDetail) *pb.SessionDetail {
	session := records.FromSession(&d.Session)
	session.Key, session.Ticket = nil, nil
	return &pb.SessionDetail{Session: session, Clients: convertPointers(d.Clients, fromClientUse)}
}

// ToDetail returns the session of a message, dropping key and ticket if the message has them.
func ToDetail(m *pb.SessionDetail) (*ticketstore.SessionDetail, error) {
	var r reader
	d := r.detail(m)
	return &d, r.err
}

func (r *reader) detail(m *pb.SessionDetail) ticketstore.SessionDetail {
	if m.GetSession() == nil {
		r.fail(ticketstore.Invalidf("session", "is missing"))
	}
	return ticketstore.SessionDetail{
		Session: *records.SummaryOf(m.GetSession()), Clients: convert(m.GetClients(), r.clientUse),
	}
}

func fromClientUse(u *ticketstore.ClientUse) *pb.SessionClient {
	return &pb.SessionClient{ClientId: u.ClientID, Use: records.FromClientUse(u)}
}

func (r *reader) clientUse(m *pb.SessionClient) ticketstore.ClientUse {
	r.ends("muted", m.GetUse().GetMuted())
	return records.ClientUseOf(m.GetClientId(), m.GetUse())
}

// FromLimited returns the request to create a session within a limit.
func FromLimited(s *ticketstore.Session, l ticketstore.Limit, now time.Time) *pb.CreateSessionRequest {
	limit := &pb.SessionLimit{
		Max: FromLimit(l.Max), EndOldest: l.EndOldest, KeepOffline: l.KeepOffline,
		Registered: records.FromRegistrations(l.Registered),
	}
	return &pb.CreateSessionRequest{Session: records.FromSession(s), Limit: limit, Now: records.Nanos(now)}
}

// ToSessionLimit returns the limit of a request.
func ToSessionLimit(m *pb.SessionLimit) ticketstore.Limit {
	return ticketstore.Limit{
		Max: int(m.GetMax()), EndOldest: m.GetEndOldest(), KeepOffline: m.GetKeepOffline(),
		Registered: records.RegistrationsOf(m.GetRegistered()),
	}
}

// FromRenewal returns the request of a renewal.
func FromRenewal(r ticketstore.Renewal, now time.Time) *pb.RenewSessionRequest {
	return &pb.RenewSessionRequest{
		Key: fromKey(r.Key), Version: r.Version, Expires: records.Nanos(r.Expires), Now: records.Nanos(now),
	}
}

// ToRenewal returns the renewal of a request.
func ToRenewal(m *pb.RenewSessionRequest) (ticketstore.Renewal, error) {
	var r reader
	renewal := ticketstore.Renewal{
		Key: r.key("key", m.GetKey()), Version: m.GetVersion(), Expires: records.Moment(m.GetExpires()),
	}
	return renewal, r.err
}

// FromRekey returns the request of a rekey.
func FromRekey(r ticketstore.Rekey, now time.Time) *pb.RekeySessionRequest {
	return &pb.RekeySessionRequest{
		Key: fromKey(r.Key), Version: r.Version, NewKey: fromKey(r.NewKey), DisplayName: r.DisplayName,
		AuthTime: records.Nanos(r.AuthTime), Acr: r.ACR, Amr: r.AMR, RemoteAddr: r.RemoteAddr,
		UserAgent: r.UserAgent,
		Expires:   records.Nanos(r.Expires), EndsAt: records.Nanos(r.EndsAt), Ticket: r.Ticket,
		Now: records.Nanos(now), Visible: r.Visible,
	}
}

// ToRekey returns the rekey of a request.
func ToRekey(m *pb.RekeySessionRequest) (ticketstore.Rekey, error) {
	var r reader
	rekey := ticketstore.Rekey{
		Key: r.key("key", m.GetKey()), Version: m.GetVersion(), NewKey: r.key("new_key", m.GetNewKey()),
		DisplayName: m.GetDisplayName(), AuthTime: records.Moment(m.GetAuthTime()), ACR: m.GetAcr(),
		AMR:        m.GetAmr(),
		RemoteAddr: m.GetRemoteAddr(), UserAgent: m.GetUserAgent(),
		Expires: records.Moment(m.GetExpires()), EndsAt: records.Moment(m.GetEndsAt()), Ticket: m.GetTicket(),
		Visible: m.GetVisible(),
	}
	return rekey, r.err
}

// FromSessionQuery returns the request of a query.
func FromSessionQuery(q ticketstore.SessionQuery) *pb.QuerySessionsRequest {
	f := q.Filter
	return &pb.QuerySessionsRequest{
		Filter: &pb.SessionFilter{
			SubjectId: f.SubjectID, SessionId: f.SessionID, ClientId: f.ClientID, DisplayName: f.DisplayName,
			CreatedFrom: records.Nanos(f.CreatedFrom), CreatedBefore: records.Nanos(f.CreatedBefore),
			ExpiresFrom: records.Nanos(f.ExpiresFrom), ExpiresBefore: records.Nanos(f.ExpiresBefore),
		},
		Order: string(q.Order), Count: FromLimit(q.Count), ResultsToken: q.ResultsToken, Prior: q.Prior,
	}
}

// ToSessionQuery returns the query of a request.
func ToSessionQuery(m *pb.QuerySessionsRequest) ticketstore.SessionQuery {
	f := m.GetFilter()
	return ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{
			SubjectID: f.GetSubjectId(), SessionID: f.GetSessionId(), ClientID: f.GetClientId(),
			DisplayName:   f.GetDisplayName(),
			CreatedFrom:   records.Moment(f.GetCreatedFrom()),
			CreatedBefore: records.Moment(f.GetCreatedBefore()),
			ExpiresFrom:   records.Moment(f.GetExpiresFrom()),
			ExpiresBefore: records.Moment(f.GetExpiresBefore()),
		},
		Order: ticketstore.Order(m.GetOrder()), Count: int(m.GetCount()), ResultsToken: m.GetResultsToken(),
		Prior: m.GetPrior(),
	}
}

// FromPage returns the answer of a query.
func FromPage(p *ticketstore.Page) *pb.QuerySessionsResponse {
	return &pb.QuerySessionsResponse{
		Sessions:     convertPointers(p.Sessions, FromDetail),
		ResultsToken: p.ResultsToken, HasPrev: p.HasPrev, HasNext: p.HasNext,
		TotalCount: fromTotal(p.TotalCount), TotalPages: fromTotal(p.TotalPages),
		CurrentPage: fromTotal(p.CurrentPage),
	}
}

// ToPage returns the page of an answer.
func ToPage(m *pb.QuerySessionsResponse) (*ticketstore.Page, error) {
	var r reader
	page := &ticketstore.Page{
		Sessions:     convert(m.GetSessions(), r.detail),
		ResultsToken: m.GetResultsToken(), HasPrev: m.GetHasPrev(), HasNext: m.GetHasNext(),
		TotalCount: toTotal(m.TotalCount), TotalPages: toTotal(m.TotalPages),
		CurrentPage: toTotal(m.CurrentPage),
	}
	return page, r.err
}

// fromTotal returns nil for an unknown total.
func fromTotal(total int) *int64 {
	if total < 0 {
		return nil
	}
	return new(int64(total))
}

func toTotal(total *int64) int {
	if total == nil {
		return -1
	}
	return int(*total)
}
