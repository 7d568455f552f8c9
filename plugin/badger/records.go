package badger

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// load reads a record into message and tells whether it was there.
func load(r reader, k []byte, message proto.Message) (bool, error) {
	value, err := r.get(k)
	if err != nil || value == nil {
		return false, err
	}
	return true, decode(k, value, message)
}

// decode names the table of a record that cannot be read, never its key.
func decode(k, value []byte, message proto.Message) error {
	if err := proto.Unmarshal(value, message); err != nil {
		return &damage{k, err}
	}
	return nil
}

// save writes a record. Marshalling fails only for text that is not UTF-8, which validation refuses.
func (t *tx) save(k []byte, message proto.Message) error {
	value, err := proto.Marshal(message)
	if err != nil {
		return fmt.Errorf("record for table %q cannot be written: %w", k[:1], err)
	}
	t.put(k, value)
	return nil
}

func sessionRecord(s *ticketstore.Session) *records.Session {
	return &records.Session{
		Key: s.Key[:], SessionId: s.SessionID, SubjectId: s.SubjectID, DisplayName: s.DisplayName, Issuer: s.Issuer,
		AuthTime: nanos(s.AuthTime), Acr: s.ACR, Amr: s.AMR, RemoteAddr: s.RemoteAddr, UserAgent: s.UserAgent,
		Created: nanos(s.Created), Renewed: nanos(s.Renewed), Expires: nanos(s.Expires), EndsAt: nanos(s.EndsAt),
		Version: s.Version, Ticket: s.Ticket,
	}
}

func sessionOf(r *records.Session) *ticketstore.Session {
	s := summaryOf(r)
	copy(s.Key[:], r.GetKey())
	s.Ticket = r.GetTicket()
	return s
}

// summaryOf is the session without Key and Ticket.
func summaryOf(r *records.Session) *ticketstore.Session {
	return &ticketstore.Session{
		SessionID: r.GetSessionId(), SubjectID: r.GetSubjectId(), DisplayName: r.GetDisplayName(), Issuer: r.GetIssuer(),
		AuthTime: moment(r.GetAuthTime()), ACR: r.GetAcr(), AMR: r.GetAmr(), RemoteAddr: r.GetRemoteAddr(), UserAgent: r.GetUserAgent(),
		Created: moment(r.GetCreated()), Renewed: moment(r.GetRenewed()), Expires: moment(r.GetExpires()), EndsAt: moment(r.GetEndsAt()),
		Version: r.GetVersion(),
	}
}

func clientUseOf(client string, r *records.ClientUse) ticketstore.ClientUse {
	return ticketstore.ClientUse{
		ClientID: client, FirstUsed: moment(r.GetFirstUsed()), LastUsed: moment(r.GetLastUsed()),
		Notify: r.GetNotify(), Coordinated: r.GetCoordinated(), TokenNumber: r.GetTokenNumber(),
		Muted: ticketstore.Ends(r.GetMuted()),
	}
}

func grantRecord(g *grantstore.Grant) *records.Grant {
	return &records.Grant{
		RequestId: g.RequestID, SubjectId: g.SubjectID, SessionId: g.SessionID, ClientId: g.ClientID, Description: g.Description,
		Created: nanos(g.Created), Expires: nanos(g.Expires), Offline: g.Offline, Data: g.Data,
	}
}

func grantOf(ref grantstore.Ref, r *records.Grant) *grantstore.Grant {
	return &grantstore.Grant{
		Ref: ref, RequestID: r.GetRequestId(), SubjectID: r.GetSubjectId(), SessionID: r.GetSessionId(), ClientID: r.GetClientId(),
		Description: r.GetDescription(), Created: moment(r.GetCreated()), Expires: moment(r.GetExpires()),
		Consumed: moment(r.GetConsumed()), Offline: r.GetOffline(), Data: r.GetData(),
	}
}

func noticeOf(id string, r *records.Notification) *logout.Notification {
	return &logout.Notification{
		ID: id, Issuer: r.GetIssuer(), ClientID: r.GetClientId(), SubjectID: r.GetSubjectId(), SessionID: r.GetSessionId(),
		Reason: logout.Reason(r.GetReason()), State: logout.State(r.GetState()), Queued: moment(r.GetQueued()),
		Attempts: int(r.GetAttempts()), NextAttempt: moment(r.GetNextAttempt()), GiveUpAt: moment(r.GetGiveUpAt()),
		LastAttempt: moment(r.GetLastAttempt()), LastError: r.GetLastError(), Again: moment(r.GetAgain()),
	}
}

func resultRecord(r *logout.Result) *records.EndingResult {
	return &records.EndingResult{
		SessionsRemoved: int64(r.SessionsRemoved), GrantsRevoked: int64(r.GrantsRevoked), ConsentsRevoked: int64(r.ConsentsRevoked),
		NotificationsQueued: int64(r.NotificationsQueued), ClientsLeftAlone: r.ClientsLeftAlone, Ended: endedRecords(r.Ended),
	}
}

func endedRecords(ended []logout.EndedSession) (list []*records.EndedSession) {
	for _, e := range ended {
		list = append(list, &records.EndedSession{SessionId: e.SessionID, SubjectId: e.SubjectID})
	}
	return list
}

func resultOf(r *records.EndingResult) *logout.Result {
	var ended []logout.EndedSession
	for _, e := range r.GetEnded() {
		ended = append(ended, logout.EndedSession{SessionID: e.GetSessionId(), SubjectID: e.GetSubjectId()})
	}
	return &logout.Result{
		Ended: ended, SessionsRemoved: int(r.GetSessionsRemoved()), GrantsRevoked: int(r.GetGrantsRevoked()), ConsentsRevoked: int(r.GetConsentsRevoked()),
		NotificationsQueued: int(r.GetNotificationsQueued()), ClientsLeftAlone: r.GetClientsLeftAlone(),
	}
}
