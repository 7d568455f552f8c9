package steps

// Rows: what the steps read and write in an engine's transaction.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Reader reads in a transaction, including its own writes. A missing row is nil. Rows must not be changed,
// except a client's.
type Reader interface {
	// Operation returns the answer to a completed operation.
	Operation(id string) (*records.Operation, error)
	// Grant returns the row of a grant, dead or alive.
	Grant(ref grantstore.Ref) (*records.Grant, error)
	// Judge decides whether a grant is live, by rules.Judge and the rows of the grant's session.
	Judge(t grantstore.Type, g *records.Grant) error
	// Lines counts the unused refresh tokens of a request id.
	Lines(requestID string) (int, error)
	// Session returns the row of a session, expired or not.
	Session(sid string) (*records.Session, error)
	// Ended returns the record that has replaced a session.
	Ended(sid string) (*records.Ended, error)
	// Client returns the row of a client in a session, which the caller may change. If there is no row,
	// others is the number of the session's other clients; at ticketstore.MaxClients or more it may be any
	// larger number.
	Client(sid, client string) (use *records.ClientUse, others int, err error)
}

// Rows reads and writes in a transaction. Written records are owned by the engine and must not be changed
// afterwards.
type Rows interface {
	Reader
	// Answer writes the answer to an operation.
	Answer(id string, answer *records.Operation) error
	// Replace writes next in place of a grant that was read as old. Nil means no grant. A used grant no
	// longer belongs to its family.
	Replace(ref grantstore.Ref, old, next *records.Grant) error
	// DropAccess deletes an access token of a request id if it exists. Here and below, a row that cannot be
	// read is not an error: it serves no request.
	DropAccess(ref grantstore.Ref, requestID string) error
	// DropRelated deletes the unused tokens of these types and of the request id of a token that is consumed.
	DropRelated(requestID string, types []grantstore.Type) error
	// DropFamily revokes the unused tokens of a request id, of the given types or, without types, of all, and
	// returns how many were live. Tokens that a concurrent transaction adds are revoked too, or refused.
	DropFamily(requestID string, types []grantstore.Type) (live int, err error)
	// SaveSession writes an existing session.
	SaveSession(s *records.Session) error
	// SaveClient writes the row of a client in a session. joins is true if the client had no row or was
	// detached.
	SaveClient(s *records.Session, client string, use *records.ClientUse, joins bool) error
}

// EndingRows reads and writes in a transaction that ends sessions, which makes an ending atomic and orders
// concurrent uses and renewals of a session before it or after it. Rows must not be changed, except those of
// Clients.
type EndingRows interface {
	// Session and Ended are those of Reader, as is SaveClient that of Rows.
	Session(sid string) (*records.Session, error)
	Ended(sid string) (*records.Ended, error)
	SaveClient(s *records.Session, client string, use *records.ClientUse, joins bool) error
	// Clients returns the clients of a session, including detached ones, sorted by id.
	Clients(sid string) ([]Client, error)
	// DropClient removes a client from an ending session.
	DropClient(s *records.Session, client Client) error
	// DropSession writes the ended record of a session in place of it, after its clients were dropped.
	DropSession(s *records.Session, ended *records.Ended) error
	// SaveEnded writes an existing ended record with fewer survivors.
	SaveEnded(sid string, ended *records.Ended) error
	// Queue adds a new notification.
	Queue(n *records.Notification) error
	// DropConsents removes consents of a subject to a client, as many as the transaction may. It returns how
	// many were live, and whether some remain.
	DropConsents(subject, client string) (revoked int, left bool, err error)
	// PurgeDead removes rows of grants that a session or its ended record does not let live, as many as the
	// transaction may. It returns how many were tokens in use, and whether there may be more: then it marks
	// the session, with the operation for which they are counted. A sweep has none, and leaves the mark of
	// another.
	PurgeDead(sid, operation string) (revoked int, more bool, err error)
}

// JobRows reads and writes in a transaction of a job.
type JobRows interface {
	// Ahead returns positions after the job's cursor, as many as the transaction may end, in the index of its
	// phase: sessions in order of creation, or ended sessions that have survivors. all: there are no others.
	Ahead() (found []Position, all bool, err error)
	// EndAt ends the session at a position. A session that cannot be read serves no request, and is skipped.
	EndAt(p Position) (*Closing, error)
	// Full reports whether the transaction has reached its bounds.
	Full() bool
	// DropUnbound removes grants without a session that the job's ending selects (rules.RevokesUnbound), as
	// many as the transaction may, after the job's cursor, which it moves. all: it has reached the last one.
	DropUnbound() (done logout.Result, all bool, err error)
	// DropConsents is that of EndingRows.
	DropConsents(subject, client string) (revoked int, left bool, err error)
	// PurgeMarked is EndingRows.PurgeDead for a session marked with the job's operation, and removes the mark
	// with the last row. found: there was one.
	PurgeMarked() (revoked int, found bool, err error)
}
