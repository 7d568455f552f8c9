package rpc

// TicketsService, client and server.

import (
	"cmp"
	"context"
	"time"

	"github.com/fosite-sessions/sessions"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A repeated renewal returns ErrConflict at worst, which callers expect anyway. A rekey is not repeated,
// because it would return ErrNotFound.
var (
	createSession = method{
		path: pb.TicketsService_CreateSession_FullMethodName, name: "create session", again: true,
	}
	getSession = method{
		path: pb.TicketsService_GetSession_FullMethodName, name: "get session", again: true,
	}
	findSession = method{
		path: pb.TicketsService_FindSession_FullMethodName, name: "find session", again: true,
	}
	renewSession = method{
		path: pb.TicketsService_RenewSession_FullMethodName, name: "renew session", again: true,
	}
	rekeySession  = method{path: pb.TicketsService_RekeySession_FullMethodName, name: "rekey session"}
	querySessions = method{
		path: pb.TicketsService_QuerySessions_FullMethodName, name: "query sessions", again: true,
	}
)

// Tickets is a ticketstore.Store in a plugin.
type Tickets struct{ Caller *Caller }

var _ ticketstore.Store = (*Tickets)(nil)

// Create implements ticketstore.Store.
func (t *Tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := session.Validate(); err != nil {
		return err
	}
	request := &pb.CreateSessionRequest{Session: wire.FromSession(session)}
	_, err := invoke[pb.CreateSessionResponse](ctx, t.Caller, &createSession, request)
	return err
}

// CreateWithin implements ticketstore.Store.
func (t *Tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) (ended []string, err error) {
	if err := cmp.Or(session.Validate(), limit.Validate()); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.CreateSessionResponse](ctx, t.Caller, &createSession,
		wire.FromLimited(session, limit, now))
	if err != nil {
		return nil, err
	}
	for _, sid := range answer.GetEnded() {
		if err := ticketstore.CheckID("ended", sid); err != nil {
			return nil, broken(&createSession, "%v", err)
		}
	}
	return answer.GetEnded(), nil
}

// Get implements ticketstore.Store.
func (t *Tickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	answer, err := invoke[pb.GetSessionResponse](ctx, t.Caller, &getSession,
		&pb.GetSessionRequest{Key: key[:]})
	if err != nil {
		return nil, err
	}
	return checkSession(&getSession, answer.GetSession(), key)
}

// Find implements ticketstore.Store.
func (t *Tickets) Find(ctx context.Context, sessionID string) (*ticketstore.SessionDetail, error) {
	if err := ticketstore.CheckText("session_id", sessionID, ticketstore.MaxID); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.FindSessionResponse](ctx, t.Caller, &findSession,
		&pb.FindSessionRequest{SessionId: sessionID})
	if err != nil {
		return nil, err
	}
	detail, err := wire.ToDetail(answer.GetDetail())
	if err != nil {
		return nil, broken(&findSession, "%v", err)
	}
	if detail.SessionID != sessionID {
		return nil, broken(&findSession, "another session than the one asked for")
	}
	return detail, checkDetail(&findSession, detail)
}

// Renew implements ticketstore.Store.
func (t *Tickets) Renew(
	ctx context.Context, renewal ticketstore.Renewal, now time.Time,
) (*ticketstore.Session, error) {
	answer, err := invoke[pb.RenewSessionResponse](ctx, t.Caller, &renewSession,
		wire.FromRenewal(renewal, now))
	if err != nil {
		return nil, err
	}
	return checkSession(&renewSession, answer.GetSession(), renewal.Key)
}

// Rekey implements ticketstore.Store.
func (t *Tickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	if err := checkRekey(&rekey); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.RekeySessionResponse](ctx, t.Caller, &rekeySession, wire.FromRekey(rekey, now))
	if err != nil {
		return nil, err
	}
	return checkSession(&rekeySession, answer.GetSession(), rekey.NewKey)
}

// Query implements ticketstore.Store.
func (t *Tickets) Query(ctx context.Context, query ticketstore.SessionQuery) (*ticketstore.Page, error) {
	// A time that no record can hold is sent as the nearest one that fits, and the plugin's results token
	// contains that one. Otherwise the filter would differ from its own token.
	f := &query.Filter
	for _, t := range []*time.Time{&f.CreatedFrom, &f.CreatedBefore, &f.ExpiresFrom, &f.ExpiresBefore} {
		*t = records.Moment(records.Nanos(*t))
	}
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	answer, err := invoke[pb.QuerySessionsResponse](ctx, t.Caller, &querySessions,
		wire.FromSessionQuery(query))
	if err != nil {
		return nil, err
	}
	page, err := wire.ToPage(answer)
	if err != nil {
		return nil, broken(&querySessions, "%v", err)
	}
	want := asked{count: walk.Count, token: query.ResultsToken, prior: query.Prior}
	if err := checkPage(&querySessions, want, len(page.Sessions), page.ResultsToken,
		page.HasNext); err != nil {
		return nil, err
	}
	if page.TotalCount < -1 || page.TotalPages < -1 || page.CurrentPage < -1 {
		return nil, broken(&querySessions, "a negative total")
	}
	for i := range page.Sessions {
		if err := checkRow(&page.Sessions[i], &walk.Filter); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// checkSession converts the session that was requested by its key.
func checkSession(m *method, message *records.Session, key ticketstore.Key) (*ticketstore.Session, error) {
	session, err := wire.ToSession(message)
	if err != nil {
		return nil, broken(m, "%v", err)
	}
	// The session of a different cookie would sign its user in here (rule 13).
	if session.Key != key {
		return nil, broken(m, "another session than the one asked for")
	}
	if err := session.Validate(); err != nil {
		return nil, broken(m, "%v", err)
	}
	return session, nil
}

func checkDetail(m *method, detail *ticketstore.SessionDetail) error {
	whole := detail.Session
	whole.Key = ticketstore.Key{1} // listings have no keys
	if err := whole.Validate(); err != nil {
		return broken(m, "%v", err)
	}
	for _, use := range detail.Clients {
		if err := ticketstore.CheckID("client_id", use.ClientID); err != nil {
			return broken(m, "%v", err)
		}
		if use.FirstUsed.IsZero() || use.LastUsed.IsZero() {
			return broken(m, "a client without its times")
		}
	}
	return nil
}

func checkRow(row *ticketstore.SessionDetail, filter *ticketstore.SessionFilter) error {
	if (filter.SubjectID != "" && row.SubjectID != filter.SubjectID) ||
		(filter.SessionID != "" && row.SessionID != filter.SessionID) {
		return broken(&querySessions, "a session that the filter leaves out")
	}
	return checkDetail(&querySessions, row)
}

// checkRekey rejects texts that cannot be sent.
func checkRekey(r *ticketstore.Rekey) error {
	err := cmp.Or(
		ticketstore.CheckText("display_name", r.DisplayName, ticketstore.MaxText),
		ticketstore.CheckText("acr", r.ACR, ticketstore.MaxText),
		ticketstore.CheckText("remote_addr", r.RemoteAddr, ticketstore.MaxText),
		ticketstore.CheckText("user_agent", r.UserAgent, ticketstore.MaxText),
	)
	for _, value := range r.AMR {
		err = cmp.Or(err, ticketstore.CheckText("amr", value, ticketstore.MaxID))
	}
	if err == nil && len(r.Ticket) > ticketstore.MaxTicket {
		err = ticketstore.Invalidf("ticket", "is longer than %d bytes", ticketstore.MaxTicket)
	}
	if err == nil && len(r.Visible) > ticketstore.MaxVisible {
		err = ticketstore.Invalidf("visible", "is longer than %d bytes", ticketstore.MaxVisible)
	}
	return err
}

type ticketsServer struct {
	pb.UnimplementedTicketsServiceServer
	server *Server
}

// CreateSession stores a session.
func (t *ticketsServer) CreateSession(
	ctx context.Context, request *pb.CreateSessionRequest,
) (*pb.CreateSessionResponse, error) {
	return serve(ctx, t.server, createSession.name,
		func(b sessions.Backend) (*pb.CreateSessionResponse, error) {
			session, err := wire.ToSession(request.GetSession())
			if err != nil {
				return nil, err
			}
			if request.GetLimit() == nil {
				return &pb.CreateSessionResponse{}, b.Tickets().Create(ctx, session)
			}
			now, err := wire.Now(request.GetNow())
			if err != nil {
				return nil, err
			}
			ended, err := b.Tickets().CreateWithin(ctx, session, wire.ToSessionLimit(request.GetLimit()), now)
			return &pb.CreateSessionResponse{Ended: ended}, err
		})
}

// GetSession reads a session by its key.
func (t *ticketsServer) GetSession(
	ctx context.Context, request *pb.GetSessionRequest,
) (*pb.GetSessionResponse, error) {
	return serve(ctx, t.server, getSession.name, func(b sessions.Backend) (*pb.GetSessionResponse, error) {
		key, err := wire.Key("key", request.GetKey())
		if err != nil {
			return nil, err
		}
		session, err := b.Tickets().Get(ctx, key)
		return &pb.GetSessionResponse{Session: wire.FromSession(session)}, err
	})
}

// FindSession reads a session by its session id.
func (t *ticketsServer) FindSession(
	ctx context.Context, request *pb.FindSessionRequest,
) (*pb.FindSessionResponse, error) {
	return serve(ctx, t.server, findSession.name, func(b sessions.Backend) (*pb.FindSessionResponse, error) {
		detail, err := b.Tickets().Find(ctx, request.GetSessionId())
		return &pb.FindSessionResponse{Detail: wire.FromDetail(detail)}, err
	})
}

// RenewSession renews a session.
func (t *ticketsServer) RenewSession(
	ctx context.Context, request *pb.RenewSessionRequest,
) (*pb.RenewSessionResponse, error) {
	return serveAt(ctx, t.server, renewSession.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.RenewSessionResponse, error) {
			renewal, err := wire.ToRenewal(request)
			if err != nil {
				return nil, err
			}
			session, err := b.Tickets().Renew(ctx, renewal, now)
			return &pb.RenewSessionResponse{Session: wire.FromSession(session)}, err
		})
}

// RekeySession gives a session a new key.
func (t *ticketsServer) RekeySession(
	ctx context.Context, request *pb.RekeySessionRequest,
) (*pb.RekeySessionResponse, error) {
	return serveAt(ctx, t.server, rekeySession.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.RekeySessionResponse, error) {
			rekey, err := wire.ToRekey(request)
			if err != nil {
				return nil, err
			}
			session, err := b.Tickets().Rekey(ctx, rekey, now)
			return &pb.RekeySessionResponse{Session: wire.FromSession(session)}, err
		})
}

// QuerySessions lists sessions.
func (t *ticketsServer) QuerySessions(
	ctx context.Context, request *pb.QuerySessionsRequest,
) (*pb.QuerySessionsResponse, error) {
	return serve(ctx, t.server, querySessions.name,
		func(b sessions.Backend) (*pb.QuerySessionsResponse, error) {
			page, err := b.Tickets().Query(ctx, wire.ToSessionQuery(request))
			return wire.FromPage(page), err
		})
}
