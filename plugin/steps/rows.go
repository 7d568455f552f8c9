package steps

// Rows: what an engine's transaction reads and writes.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Reader reads in a transaction, which sees what it has written itself. Nil stands for a row that is not
// there. Rows are not to be changed, except a client's.
type Reader interface {
	// Operation returns the answer to an operation that is done.
	Operation(id string) (*records.Operation, error)
	// Grant returns the row of a grant, dead or alive.
	Grant(ref grantstore.Ref) (*records.Grant, error)
	// Judge decides whether a grant is live, by rules.Judge and what the grant's session says of it.
	Judge(t grantstore.Type, g *records.Grant) error
	// Lines counts the unused refresh tokens of a request id.
	Lines(requestID string) (int, error)
	// Session returns the row of a session, over or not.
	Session(sid string) (*records.Session, error)
	// Ended returns the record that has taken the place of a session.
	Ended(sid string) (*records.Ended, error)
	// Client returns the row of a client in a session, for the caller to change. others is of so many other
	// clients the session has rows, if this one has none; from ticketstore.MaxClients on it may be any number
	// above.
	Client(sid, client string) (use *records.ClientUse, others int, err error)
}

// Rows reads and writes in a transaction. A record that was written is the engine's from then on.
type Rows interface {
	Reader
	// Answer writes the answer to an operation.
	Answer(id string, answer *records.Operation) error
	// Replace writes next in the place of a grant that was read as old. Nil stands for no grant. A used one
	// belongs to its family no more.
	Replace(ref grantstore.Ref, old, next *records.Grant) error
	// DropAccess removes an access token of a request id where there is one. A row that cannot be read is no
	// error, here and below: it serves no request.
	DropAccess(ref grantstore.Ref, requestID string) error
	// DropRelated removes the unused tokens of these types of a request id, a token of which is used.
	DropRelated(requestID string, types []grantstore.Type) error
	// DropFamily revokes the unused tokens of a request id, of the given types or (none) of all, and counts
	// those that were live. What another transaction adds at the same time is revoked too, or is refused.
	DropFamily(requestID string, types []grantstore.Type) (live int, err error)
	// SaveSession writes a session that was there before.
	SaveSession(s *records.Session) error
	// SaveClient writes the row of a client in a session. joins says that it had none, or was detached.
	SaveClient(s *records.Session, client string, use *records.ClientUse, joins bool) error
}
