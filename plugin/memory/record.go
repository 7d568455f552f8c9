package memory

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// messageOf returns an empty message of a kind, nil for rows that are none.
func messageOf(kind transfer.Kind) proto.Message {
	switch kind {
	case transfer.Sessions:
		return &records.Session{}
	case transfer.Clients:
		return &records.ClientUse{}
	case transfer.Ended:
		return &records.Ended{}
	case transfer.Grants:
		return &records.Grant{}
	case transfer.Operations:
		return &records.Operation{}
	case transfer.Jobs:
		return &records.Job{}
	case transfer.Notices:
		return &records.Notification{}
	case transfer.Properties:
		return &records.Property{}
	}
	return nil
}

// decode reads a row. Each was checked before it was written.
func decode(data []byte, message proto.Message) {
	if message == nil {
		return
	}
	if err := proto.Unmarshal(data, message); err != nil {
		panic(fmt.Sprintf("a row in memory is damaged: %v", err))
	}
}

// load returns a copy of a row, for the caller to change and save, nil where there is none.
func load[M any, P interface {
	*M
	proto.Message
}](t *tx, kind transfer.Kind, key string) P {
	row, found := t.tables[kind][key]
	if !found {
		return nil
	}
	message := P(new(M))
	decode(row.data, message)
	return message
}

// save writes a row. Deterministic is what makes two stores with the same records have the same sums.
func (t *tx) save(kind transfer.Kind, key string, message proto.Message) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("a row that was checked cannot be written: %v", err))
	}
	if data == nil {
		data = []byte{}
	}
	t.put(kind, key, data)
}

// keys returns the keys of a table, sorted.
func (t *tx) keys(kind transfer.Kind) []string { return slices.Sorted(maps.Keys(t.tables[kind])) }

func (t *tx) session(sid string) *records.Session {
	return load[records.Session](t, transfer.Sessions, sid)
}

func (t *tx) use(sid, client string) *records.ClientUse {
	return load[records.ClientUse](t, transfer.Clients, sid+"\x00"+client)
}

func (t *tx) saveUse(sid, client string, use *records.ClientUse) {
	t.save(transfer.Clients, sid+"\x00"+client, use)
}

func (t *tx) ended(sid string) *records.Ended {
	return load[records.Ended](t, transfer.Ended, sid)
}

func (t *tx) grant(ref grantstore.Ref) *records.Grant {
	return load[records.Grant](t, transfer.Grants, refKey(ref))
}

func (t *tx) notice(id string) *records.Notification {
	return load[records.Notification](t, transfer.Notices, id)
}

// scan calls f for every row of a kind as it is stored: to look at, not to change.
func scan[P proto.Message](t *tx, kind transfer.Kind, f func(key string, row P)) {
	for key, row := range t.tables[kind] {
		if message, ok := row.message.(P); ok {
			f(key, message)
		}
	}
}

// types are numbered as in records.proto.
var types = []grantstore.Type{
	1: grantstore.AuthorizationCode, grantstore.OpenIDRequest, grantstore.PKCERequest, grantstore.RefreshToken,
	grantstore.ReferenceToken, grantstore.UserConsent, grantstore.PushedAuthorization, grantstore.JTI,
}

func refKey(ref grantstore.Ref) string {
	return string([]byte{byte(slices.Index(types, ref.Type))}) + string(ref.Key[:])
}

func refOf(key string) (ref grantstore.Ref, ok bool) {
	if len(key) != 1+sha256.Size || key[0] == 0 || int(key[0]) >= len(types) {
		return ref, false
	}
	return grantstore.Ref{Type: types[key[0]], Key: grantstore.Key([]byte(key[1:]))}, true
}

// nanos is how a moment is stored: 0 is none, and those beyond what fits are the last that do.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.UnixNano() == 0:
		return 1
	}
	return t.UnixNano()
}

// moment is the reverse of nanos.
func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// position is where a row stands in a listing by creation.
func position(created int64, tail string) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(created)^1<<63)) + tail
}

func sessionPosition(s *records.Session) string { return position(s.GetCreated(), s.GetSessionId()) }

func grantPosition(key string, g *records.Grant) string {
	sum := sha256.Sum256([]byte(key))
	return position(g.GetCreated(), string(sum[:8]))
}

func sessionRow(s *ticketstore.Session) *records.Session {
	return &records.Session{
		Key: s.Key[:], SessionId: s.SessionID, SubjectId: s.SubjectID, DisplayName: s.DisplayName, Issuer: s.Issuer,
		AuthTime: nanos(s.AuthTime), Acr: s.ACR, Amr: s.AMR, RemoteAddr: s.RemoteAddr, UserAgent: s.UserAgent,
		Created: nanos(s.Created), Renewed: nanos(s.Renewed), Expires: nanos(s.Expires), EndsAt: nanos(s.EndsAt),
		Version: s.Version, Ticket: s.Ticket,
	}
}

func sessionOf(r *records.Session) *ticketstore.Session {
	s := summaryOf(r)
	s.Key, s.Ticket = ticketstore.Key(r.GetKey()), r.GetTicket()
	return s
}

// summaryOf is the session as listings show it, without Key and Ticket.
func summaryOf(r *records.Session) *ticketstore.Session {
	return &ticketstore.Session{
		SessionID: r.GetSessionId(), SubjectID: r.GetSubjectId(), DisplayName: r.GetDisplayName(), Issuer: r.GetIssuer(),
		AuthTime: moment(r.GetAuthTime()), ACR: r.GetAcr(), AMR: r.GetAmr(), RemoteAddr: r.GetRemoteAddr(), UserAgent: r.GetUserAgent(),
		Created: moment(r.GetCreated()), Renewed: moment(r.GetRenewed()), Expires: moment(r.GetExpires()), EndsAt: moment(r.GetEndsAt()),
		Version: r.GetVersion(),
	}
}

// dueAt is when a session is over: Expires or, if earlier, EndsAt.
func dueAt(r *records.Session) time.Time {
	due := r.GetExpires()
	if end := r.GetEndsAt(); end != 0 {
		due = min(due, end)
	}
	return moment(due)
}

func live(r *records.Session, now time.Time) bool { return r != nil && now.Before(dueAt(r)) }

func grantOf(key string, r *records.Grant) *grantstore.Grant {
	ref, _ := refOf(key)
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

func resultRow(r *logout.Result) *records.EndingResult {
	message := &records.EndingResult{
		SessionsRemoved: int64(r.SessionsRemoved), GrantsRevoked: int64(r.GrantsRevoked), ConsentsRevoked: int64(r.ConsentsRevoked),
		NotificationsQueued: int64(r.NotificationsQueued), ClientsLeftAlone: r.ClientsLeftAlone,
	}
	for _, e := range r.Ended {
		message.Ended = append(message.Ended, &records.EndedSession{SessionId: e.SessionID, SubjectId: e.SubjectID})
	}
	return message
}

func resultOf(r *records.EndingResult) *logout.Result {
	result := &logout.Result{
		SessionsRemoved: int(r.GetSessionsRemoved()), GrantsRevoked: int(r.GetGrantsRevoked()), ConsentsRevoked: int(r.GetConsentsRevoked()),
		NotificationsQueued: int(r.GetNotificationsQueued()), ClientsLeftAlone: r.GetClientsLeftAlone(),
	}
	for _, e := range r.GetEnded() {
		result.Ended = append(result.Ended, logout.EndedSession{SessionID: e.GetSessionId(), SubjectID: e.GetSubjectId()})
	}
	return result
}
