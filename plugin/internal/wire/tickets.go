package wire

import (
	"math"
	"time"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FromSession returns the message of a session; nil stays nil.
func FromSession(s *ticketstore.Session) *pb.Session {
	if s == nil {
		return nil
	}
	m := fromSessionSummary(s)
	m.Key, m.Ticket = fromKey(s.Key), s.Ticket
	return m
}

// fromSessionSummary leaves out key and ticket.
func fromSessionSummary(s *ticketstore.Session) *pb.Session {
	return &pb.Session{
		SessionId: s.SessionID, SubjectId: s.SubjectID, DisplayName: s.DisplayName, Issuer: s.Issuer,
		AuthTime: FromTime(s.AuthTime), Acr: s.ACR, Amr: s.AMR, RemoteAddr: s.RemoteAddr, UserAgent: s.UserAgent,
		Created: FromTime(s.Created), Renewed: FromTime(s.Renewed), Expires: FromTime(s.Expires), EndsAt: FromTime(s.EndsAt),
		Version: s.Version,
	}
}

// ToSession returns the session of a message.
func ToSession(m *pb.Session) (*ticketstore.Session, error) {
	var r reader
	s := r.session(m)
	return &s, r.err
}

func (r *reader) session(m *pb.Session) ticketstore.Session {
	if m == nil {
		r.fail(ticketstore.Invalidf("session", "is missing"))
		return ticketstore.Session{}
	}
	return ticketstore.Session{
		Key: r.key("key", m.GetKey()), SessionID: m.GetSessionId(), SubjectID: m.GetSubjectId(), DisplayName: m.GetDisplayName(),
		Issuer: m.GetIssuer(), AuthTime: r.time("auth_time", m.GetAuthTime()), ACR: m.GetAcr(), AMR: m.GetAmr(),
		RemoteAddr: m.GetRemoteAddr(), UserAgent: m.GetUserAgent(),
		Created: r.time("created", m.GetCreated()), Renewed: r.time("renewed", m.GetRenewed()),
		Expires: r.time("expires", m.GetExpires()), EndsAt: r.time("ends_at", m.GetEndsAt()),
		Ticket: m.GetTicket(), Version: m.GetVersion(),
	}
}

// FromDetail returns the message of a session with its clients, without key and ticket; nil stays nil.
func FromDetail(d *ticketstore.SessionDetail) *pb.SessionDetail {
	if d == nil {
		return nil
	}
	return &pb.SessionDetail{Session: fromSessionSummary(&d.Session), Clients: convert(d.Clients, fromClientUse)}
}

// ToDetail returns the session of a message, without key and ticket whatever the message says.
func ToDetail(m *pb.SessionDetail) (*ticketstore.SessionDetail, error) {
	var r reader
	d := r.detail(m)
	return &d, r.err
}

func (r *reader) detail(m *pb.SessionDetail) ticketstore.SessionDetail {
	d := ticketstore.SessionDetail{Session: r.session(m.GetSession()), Clients: convert(m.GetClients(), r.clientUse)}
	d.Key, d.Ticket = ticketstore.Key{}, nil
	return d
}

func fromClientUse(u ticketstore.ClientUse) *pb.ClientUse {
	return &pb.ClientUse{
		ClientId: u.ClientID, FirstUsed: FromTime(u.FirstUsed), LastUsed: FromTime(u.LastUsed),
		Notify: u.Notify, Coordinated: u.Coordinated, TokenNumber: u.TokenNumber, Muted: uint32(u.Muted),
	}
}

func (r *reader) clientUse(m *pb.ClientUse) ticketstore.ClientUse {
	return ticketstore.ClientUse{
		ClientID: m.GetClientId(), FirstUsed: r.time("first_used", m.GetFirstUsed()), LastUsed: r.time("last_used", m.GetLastUsed()),
		Notify: m.GetNotify(), Coordinated: m.GetCoordinated(), TokenNumber: m.GetTokenNumber(),
		Muted: r.ends("muted", m.GetMuted()),
	}
}

func (r *reader) ends(field string, bits uint32) ticketstore.Ends {
	if bits > math.MaxUint8 {
		r.fail(ticketstore.Invalidf(field, "has an end that there is not"))
		return 0
	}
	return ticketstore.Ends(bits)
}

// FromLimited returns the request of a session within a limit.
func FromLimited(s *ticketstore.Session, l ticketstore.Limit, now time.Time) *pb.CreateSessionRequest {
	limit := &pb.SessionLimit{Max: FromLimit(l.Max), EndOldest: l.EndOldest, KeepOffline: l.KeepOffline}
	return &pb.CreateSessionRequest{Session: FromSession(s), Limit: limit, Now: FromTime(now)}
}

// ToSessionLimit returns the limit of a request.
func ToSessionLimit(m *pb.SessionLimit) ticketstore.Limit {
	return ticketstore.Limit{Max: int(m.GetMax()), EndOldest: m.GetEndOldest(), KeepOffline: m.GetKeepOffline()}
}

// FromRenewal returns the request of a renewal.
func FromRenewal(r ticketstore.Renewal, now time.Time) *pb.RenewSessionRequest {
	return &pb.RenewSessionRequest{Key: fromKey(r.Key), Version: r.Version, Expires: FromTime(r.Expires), Now: FromTime(now)}
}

// ToRenewal returns the renewal of a request.
func ToRenewal(m *pb.RenewSessionRequest) (ticketstore.Renewal, error) {
	var r reader
	renewal := ticketstore.Renewal{Key: r.key("key", m.GetKey()), Version: m.GetVersion(), Expires: r.time("expires", m.GetExpires())}
	return renewal, r.err
}

// FromRekey returns the request of a rekey.
func FromRekey(r ticketstore.Rekey, now time.Time) *pb.RekeySessionRequest {
	return &pb.RekeySessionRequest{
		Key: fromKey(r.Key), Version: r.Version, NewKey: fromKey(r.NewKey), DisplayName: r.DisplayName, AuthTime: FromTime(r.AuthTime),
		Acr: r.ACR, Amr: r.AMR, RemoteAddr: r.RemoteAddr, UserAgent: r.UserAgent,
		Expires: FromTime(r.Expires), EndsAt: FromTime(r.EndsAt), Ticket: r.Ticket, Now: FromTime(now),
	}
}

// ToRekey returns the rekey of a request.
func ToRekey(m *pb.RekeySessionRequest) (ticketstore.Rekey, error) {
	var r reader
	rekey := ticketstore.Rekey{
		Key: r.key("key", m.GetKey()), Version: m.GetVersion(), NewKey: r.key("new_key", m.GetNewKey()), DisplayName: m.GetDisplayName(),
		AuthTime: r.time("auth_time", m.GetAuthTime()), ACR: m.GetAcr(), AMR: m.GetAmr(),
		RemoteAddr: m.GetRemoteAddr(), UserAgent: m.GetUserAgent(),
		Expires: r.time("expires", m.GetExpires()), EndsAt: r.time("ends_at", m.GetEndsAt()), Ticket: m.GetTicket(),
	}
	return rekey, r.err
}

// FromSessionQuery returns the request of a query.
func FromSessionQuery(q ticketstore.SessionQuery) *pb.QuerySessionsRequest {
	f := q.Filter
	return &pb.QuerySessionsRequest{
		Filter: &pb.SessionFilter{
			SubjectId: f.SubjectID, SessionId: f.SessionID, ClientId: f.ClientID, DisplayName: f.DisplayName,
			CreatedFrom: FromTime(f.CreatedFrom), CreatedBefore: FromTime(f.CreatedBefore),
			ExpiresFrom: FromTime(f.ExpiresFrom), ExpiresBefore: FromTime(f.ExpiresBefore),
		},
		Order: string(q.Order), Count: FromLimit(q.Count), ResultsToken: q.ResultsToken, Prior: q.Prior,
	}
}

// ToSessionQuery returns the query of a request.
func ToSessionQuery(m *pb.QuerySessionsRequest) (ticketstore.SessionQuery, error) {
	var r reader
	f := m.GetFilter()
	query := ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{
			SubjectID: f.GetSubjectId(), SessionID: f.GetSessionId(), ClientID: f.GetClientId(), DisplayName: f.GetDisplayName(),
			CreatedFrom: r.time("created_after", f.GetCreatedFrom()), CreatedBefore: r.time("created_before", f.GetCreatedBefore()),
			ExpiresFrom: r.time("expires_after", f.GetExpiresFrom()), ExpiresBefore: r.time("expires_before", f.GetExpiresBefore()),
		},
		Order: ticketstore.Order(m.GetOrder()), Count: int(m.GetCount()), ResultsToken: m.GetResultsToken(), Prior: m.GetPrior(),
	}
	return query, r.err
}

// FromPage returns the answer of a query; nil stays nil.
func FromPage(p *ticketstore.Page) *pb.QuerySessionsResponse {
	if p == nil {
		return nil
	}
	return &pb.QuerySessionsResponse{
		Sessions:     convertPointers(p.Sessions, FromDetail),
		ResultsToken: p.ResultsToken, HasPrev: p.HasPrev, HasNext: p.HasNext,
		TotalCount: fromTotal(p.TotalCount), TotalPages: fromTotal(p.TotalPages), CurrentPage: fromTotal(p.CurrentPage),
	}
}

// ToPage returns the page of an answer.
func ToPage(m *pb.QuerySessionsResponse) (*ticketstore.Page, error) {
	var r reader
	page := &ticketstore.Page{
		Sessions:     convert(m.GetSessions(), r.detail),
		ResultsToken: m.GetResultsToken(), HasPrev: m.GetHasPrev(), HasNext: m.GetHasNext(),
		TotalCount: toTotal(m.TotalCount), TotalPages: toTotal(m.TotalPages), CurrentPage: toTotal(m.CurrentPage),
	}
	return page, r.err
}

// convertPointers is convert for large elements.
func convertPointers[From, To any](list []From, each func(*From) To) []To {
	if len(list) == 0 {
		return nil
	}
	converted := make([]To, len(list))
	for i := range list {
		converted[i] = each(&list[i])
	}
	return converted
}

// fromTotal leaves out a total that is not known.
func fromTotal(total int) *int64 {
	if total < 0 {
		return nil
	}
	wide := int64(total)
	return &wide
}

func toTotal(total *int64) int {
	if total == nil {
		return -1
	}
	return int(*total)
}
