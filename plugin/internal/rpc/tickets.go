package rpc

// TicketsService, client and server.

import (
	"cmp"
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A repeated renewal returns ErrConflict at worst, which callers expect anyway. A rekey is not repeated,
// because it would return ErrNotFound.
var (
	createSession = repeatable(pb.TicketsService_CreateSession_FullMethodName, "create session")
	getSession    = repeatable(pb.TicketsService_GetSession_FullMethodName, "get session")
	findSession   = repeatable(pb.TicketsService_FindSession_FullMethodName, "find session")
	renewSession  = repeatable(pb.TicketsService_RenewSession_FullMethodName, "renew session")
	rekeySession  = method{path: pb.TicketsService_RekeySession_FullMethodName, name: "rekey session"}
	querySessions = repeatable(pb.TicketsService_QuerySessions_FullMethodName, "query sessions")
)

// Tickets is a ticketstore.Store in a plugin.
type Tickets struct{ Caller *Caller }

var _ ticketstore.Store = (*Tickets)(nil)

// Create implements ticketstore.Store.
func (t *Tickets) Create(ctx context.Context, session *ticketstore.Session) error {
	if err := session.Validate(); err != nil {
		return err
	}
	request := &pb.CreateSessionRequest{Session: records.FromSession(session)}
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
	return ask(ctx, t.Caller, &createSession, wire.FromLimited(session, limit, now),
		func(answer *pb.CreateSessionResponse) ([]string, error) { return answer.GetEnded(), nil },
		func(ended []string) error { return checkIDs("ended", ended) })
}

func checkIDs(field string, ids []string) (err error) {
	for _, id := range ids {
		err = cmp.Or(err, ticketstore.CheckID(field, id))
	}
	return err
}

// Get implements ticketstore.Store.
func (t *Tickets) Get(ctx context.Context, key ticketstore.Key) (*ticketstore.Session, error) {
	return t.session(ctx, &getSession, &pb.GetSessionRequest{Key: key[:]}, &pb.GetSessionResponse{}, key)
}

// Find implements ticketstore.Store.
func (t *Tickets) Find(ctx context.Context, sessionID string) (*ticketstore.SessionDetail, error) {
	if err := ticketstore.CheckText("session_id", sessionID, ticketstore.MaxID); err != nil {
		return nil, err
	}
	read := func(answer *pb.FindSessionResponse) (*ticketstore.SessionDetail, error) {
		return wire.ToDetail(answer.GetDetail())
	}
	return ask(ctx, t.Caller, &findSession, &pb.FindSessionRequest{SessionId: sessionID}, read,
		func(detail *ticketstore.SessionDetail) error {
			if detail.SessionID != sessionID {
				return errOtherSession
			}
			return checkDetail(detail)
		})
}

// Renew implements ticketstore.Store.
func (t *Tickets) Renew(
	ctx context.Context, renewal ticketstore.Renewal, now time.Time,
) (*ticketstore.Session, error) {
	request, answer := wire.FromRenewal(renewal, now), &pb.RenewSessionResponse{}
	return t.session(ctx, &renewSession, request, answer, renewal.Key)
}

// Rekey implements ticketstore.Store.
func (t *Tickets) Rekey(
	ctx context.Context, rekey ticketstore.Rekey, now time.Time,
) (*ticketstore.Session, error) {
	if err := checkRekey(&rekey); err != nil {
		return nil, err
	}
	return t.session(ctx, &rekeySession, wire.FromRekey(rekey, now), &pb.RekeySessionResponse{}, rekey.NewKey)
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
	return ask(ctx, t.Caller, &querySessions, wire.FromSessionQuery(query), wire.ToPage,
		func(page *ticketstore.Page) error {
			if page.TotalCount < -1 || page.TotalPages < -1 || page.CurrentPage < -1 {
				return errors.New("a negative total")
			}
			want := requestedPage{count: walk.Count, token: query.ResultsToken, prior: query.Prior}
			err := checkPage(want, len(page.Sessions), page.ResultsToken, page.HasNext)
			for i := range page.Sessions {
				err = cmp.Or(err, checkRow(&page.Sessions[i], &walk.Filter))
			}
			return err
		})
}

var errOtherSession = errors.New("another session than the one asked for")

// session makes a call that returns the session of a key.
func (t *Tickets) session(
	ctx context.Context, m *method, request proto.Message, answer sessionAnswer, key ticketstore.Key,
) (*ticketstore.Session, error) {
	if err := t.Caller.call(ctx, m, request, answer); err != nil {
		return nil, err
	}
	session, err := wire.ToSession(answer.GetSession())
	switch {
	case err != nil:
	// The session of a different cookie would sign its user in here (rule 13).
	case session.Key != key:
		err = errOtherSession
	default:
		err = session.Validate()
	}
	if err != nil {
		return nil, broken(m, "%v", err)
	}
	return session, nil
}

type sessionAnswer interface {
	proto.Message
	GetSession() *records.Session
}

func checkDetail(detail *ticketstore.SessionDetail) error {
	whole := detail.Session
	whole.Key = ticketstore.Key{1} // listings have no keys
	err := whole.Validate()
	for _, use := range detail.Clients {
		err = cmp.Or(err, ticketstore.CheckID("client_id", use.ClientID))
		if use.FirstUsed.IsZero() || use.LastUsed.IsZero() {
			err = errors.New("a client without its times")
		}
	}
	return err
}

func checkRow(row *ticketstore.SessionDetail, filter *ticketstore.SessionFilter) error {
	if (filter.SubjectID != "" && row.SubjectID != filter.SubjectID) ||
		(filter.SessionID != "" && row.SessionID != filter.SessionID) {
		return errors.New("a session that the filter leaves out")
	}
	return checkDetail(row)
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

var ticketHandlers = []*handler{
	handle(&createSession, func(
		ctx context.Context, b sessions.Backend, request *pb.CreateSessionRequest,
	) (*pb.CreateSessionResponse, error) {
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
	}),
	forward(&getSession,
		func(request *pb.GetSessionRequest) (ticketstore.Key, error) {
			return wire.Key("key", request.GetKey())
		},
		sessions.Backend.Tickets, ticketstore.Store.Get,
		func(session *ticketstore.Session) *pb.GetSessionResponse {
			return &pb.GetSessionResponse{Session: records.FromSession(session)}
		}),
	forward(&findSession, always((*pb.FindSessionRequest).GetSessionId), sessions.Backend.Tickets,
		ticketstore.Store.Find, func(detail *ticketstore.SessionDetail) *pb.FindSessionResponse {
			return &pb.FindSessionResponse{Detail: wire.FromDetail(detail)}
		}),
	forwardAt(&renewSession, wire.ToRenewal, sessions.Backend.Tickets, ticketstore.Store.Renew,
		func(session *ticketstore.Session) *pb.RenewSessionResponse {
			return &pb.RenewSessionResponse{Session: records.FromSession(session)}
		}),
	forwardAt(&rekeySession, wire.ToRekey, sessions.Backend.Tickets, ticketstore.Store.Rekey,
		func(session *ticketstore.Session) *pb.RekeySessionResponse {
			return &pb.RekeySessionResponse{Session: records.FromSession(session)}
		}),
	forward(&querySessions, always(wire.ToSessionQuery), sessions.Backend.Tickets, ticketstore.Store.Query,
		wire.FromPage),
}
