package hostadapter

// The ticket: the user and sign-in of a session, sealed for its sid and cookie.

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Purposes of sealed tickets. ticketPurpose binds to session and cookie, see ticketID. formerTicketPurpose,
// of releases before Config.UnboundUntil, binds to the sid alone.
const (
	ticketPurpose       = "session ticket"
	formerTicketPurpose = "ticket"
)

// ticket is the content of ticketstore.Session.Ticket: the user of the session, and how they signed in. The
// same fields beside the ticket in the store are for queries; if they differ, the session is refused.
type ticket struct {
	Subject    string            `json:"sub"`
	Issuer     string            `json:"iss"`
	AuthTime   time.Time         `json:"auth_time"`
	ACR        string            `json:"acr,omitempty"`
	AMR        []string          `json:"amr,omitempty"`
	Created    time.Time         `json:"created"`
	EndsAt     time.Time         `json:"ends_at,omitzero"`
	Properties map[string]string `json:"properties,omitempty"`
}

func ticketOf(record *ticketstore.Session, properties map[string]string) *ticket {
	return &ticket{
		Subject: record.SubjectID, Issuer: record.Issuer, AuthTime: record.AuthTime, ACR: record.ACR,
		AMR: record.AMR, Created: record.Created, EndsAt: record.EndsAt, Properties: properties,
	}
}

// ticketID identifies a session together with its cookie. The length of the sid is prepended, so that the
// encoding is unambiguous.
func ticketID(record *ticketstore.Session) []byte {
	id := make([]byte, 0, binary.MaxVarintLen64+len(record.SessionID)+len(record.Key))
	id = binary.AppendUvarint(id, uint64(len(record.SessionID)))
	id = append(id, record.SessionID...)
	return append(id, record.Key[:]...)
}

// sealTicket returns the ticket of a record that is otherwise complete.
func (a *Adapter) sealTicket(record *ticketstore.Session, properties map[string]string) ([]byte, error) {
	plain, err := json.Marshal(ticketOf(record, properties))
	if err != nil {
		return nil, fmt.Errorf("hostadapter: sealing a ticket: %w", err)
	}
	if len(plain)+sealOverhead > ticketstore.MaxTicket {
		return nil, ticketstore.Invalidf("properties",
			"are larger than a ticket of %d bytes can hold", ticketstore.MaxTicket)
	}
	return a.ring.seal(ticketPurpose, ticketID(record), plain), nil
}

// public opens the record's ticket and returns the session for the host. former: the ticket has a former
// seal, accepted by Config.UnboundUntil, and must be sealed again.
func (a *Adapter) public(record *ticketstore.Session) (session *Session, former bool, err error) {
	t, former, err := a.openTicket(record)
	if err != nil {
		return nil, false, fmt.Errorf("hostadapter: session %q: %w", record.SessionID, err)
	}
	return &Session{
		SessionID: record.SessionID, SubjectID: t.Subject, DisplayName: record.DisplayName, Issuer: t.Issuer,
		ACR: t.ACR, AMR: t.AMR, AuthTime: t.AuthTime.UTC(), Created: t.Created.UTC(),
		Renewed: record.Renewed.UTC(),
		Expires: capped(record.Expires, t.EndsAt).UTC(), EndsAt: t.EndsAt, Properties: t.Properties,
	}, former, nil
}

func (a *Adapter) openTicket(record *ticketstore.Session) (*ticket, bool, error) {
	plain, former, err := a.unsealBound(
		tie.Binding{Purpose: ticketPurpose, ID: ticketID(record)},
		tie.Binding{Purpose: formerTicketPurpose, ID: []byte(record.SessionID)}, record.Ticket)
	if err != nil {
		return nil, false, err
	}
	t := &ticket{}
	if err := json.Unmarshal(plain, t); err != nil {
		return nil, false, errors.New("ticket is malformed")
	}
	if former {
		subject := t.Subject
		t = ticketOf(record, t.Properties)
		t.Subject = subject
	}
	if field := t.differs(record); field != "" {
		err := fmt.Errorf("%w: its ticket has another %s", ErrChanged, field)
		a.reportSealed(ticketPurpose, err)
		return nil, false, err
	}
	return t, former, nil
}

// differs returns the field of the record that the ticket contradicts, or "".
func (t *ticket) differs(record *ticketstore.Session) string {
	switch {
	case t.Subject != record.SubjectID:
		return "subject"
	case t.Issuer != record.Issuer:
		return "issuer"
	case !t.AuthTime.Equal(record.AuthTime):
		return "auth_time"
	case t.ACR != record.ACR:
		return "acr"
	case !slices.Equal(t.AMR, record.AMR):
		return "amr"
	case !t.Created.Equal(record.Created):
		return "created"
	case !t.EndsAt.Equal(record.EndsAt):
		return "ends_at"
	}
	return ""
}

// reseal binds a session sealed by a former release to its cookie, and renews it like renew. It returns the
// updated record, or nil if the session ended meanwhile. A failure is logged: the next request tries again,
// until Config.UnboundUntil.
func (a *Adapter) reseal(
	ctx context.Context, record *ticketstore.Session, properties map[string]string,
) *ticketstore.Session {
	now := a.now()
	rekey := ticketstore.Rekey{
		Key: record.Key, Version: record.Version, NewKey: record.Key, DisplayName: record.DisplayName,
		AuthTime: record.AuthTime, ACR: record.ACR, AMR: record.AMR, RemoteAddr: record.RemoteAddr,
		UserAgent: record.UserAgent, Expires: capped(now.Add(a.config.Lifetime.IdleTimeout), record.EndsAt),
		EndsAt: record.EndsAt, Visible: record.Visible,
	}
	if rekey.Expires.Before(record.Expires) {
		rekey.Expires = record.Expires
	}
	var err error
	if rekey.Ticket, err = a.sealTicket(record, properties); err == nil {
		_, err = a.config.Backend.Tickets().Rekey(ctx, rekey, now)
	}
	switch {
	case err == nil:
		a.publishRenewed(record.SessionID, record.SubjectID)
		return rekey.Apply(record, now)
	case errors.Is(err, ticketstore.ErrConflict):
		return record // another request resealed or renewed the session
	case errors.Is(err, ticketstore.ErrNotFound), errors.Is(err, ticketstore.ErrExpired):
		return nil
	}
	a.config.Logger.WarnContext(ctx, "session was not bound to its cookie, the next request will retry",
		"session_id", record.SessionID, "error", err)
	return record
}
