package grantstore

// Batches: the changes that an authorization server makes in one transaction.

import (
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of a Batch.
const (
	// MaxBatch bounds the sum of the grants stored, the references deleted and the families revoked by one
	// batch, and the entries of Batch.Seen.
	MaxBatch = 64
	// MaxBatchData bounds the total Data of the grants stored by one batch, in bytes.
	MaxBatchData = 1 << 20
	// MaxLines bounds the live refresh tokens of a family (see Consumption.Grace).
	MaxLines = 64
	// OperationRetention is how long the answer to an operation id is kept.
	OperationRetention = 10 * time.Minute
	// ConsumedRetention is how long a consumed grant without Expires is kept to detect its reuse.
	ConsumedRetention = 30 * 24 * time.Hour
)

// Batch is a set of changes that is applied atomically. All conditions are checked before anything is
// written. The order of application is:
//
//  1. Seen names grants that must not have changed since they were read.
//  2. Consume marks a code or refresh token as used. It must be live and unused (rule 2).
//  3. Use records that a client used a session, which must be live. A client beyond ticketstore.MaxClients,
//     here or in Store, is ticketstore.ErrTooManyClients.
//  4. Slide renews a session if it may be renewed (rule 9).
//  5. Delete removes grants; a missing grant is not an error.
//  6. Revoke removes the live tokens of token families (see Revocation).
//  7. Store adds grants. A key that is taken by a live grant is ticketstore.ErrExists. A grant bound to a
//     session needs that session alive, unless the batch consumes a grant that outlives it.
type Batch struct {
	// OperationID makes the batch idempotent: within OperationRetention a batch with the id of an applied one
	// changes nothing and gets the same answer. Required; use at least 128 random bits.
	OperationID string
	Seen        []Precondition
	Use         *Use
	Slide       *Slide
	Consume     *Consumption
	Delete      []Ref
	Revoke      []Revocation
	Store       []Grant
}

// Precondition is a grant that must be unchanged for the batch to apply: compare-and-set, for a change that
// reads a grant, deletes it and stores it again. The grant must be live at now and have the same Data;
// otherwise the batch is ticketstore.ErrConflict.
type Precondition struct {
	Ref
	// Data is the ticketstore.KeyOf of the Data that was read.
	Data ticketstore.Key
}

// PreconditionOf returns the precondition that a grant is unchanged since Get returned it.
func PreconditionOf(g *Grant) Precondition {
	return Precondition{Ref: g.Ref, Data: ticketstore.KeyOf(g.Data)}
}

// Use records that a client used a session. From then on the client is a client of the session, even if the
// batch stores no grant.
type Use struct {
	SessionID string
	ClientID  string
	// Notify: the client has a back-channel logout URI.
	Notify bool
	// Coordinated: the client's activity keeps the session alive.
	Coordinated bool
	// Muted are the ways of ending of which the client is not notified.
	Muted ticketstore.Ends
}

// Slide renews a session that a client uses (rule 9). It never fails a batch: it leaves a session unchanged
// that is over, was renewed after RenewedBefore, or would not expire later. It never moves Expires past
// EndsAt. It raises the session's Version.
type Slide struct {
	SessionID string
	Expires   time.Time
	// RenewedBefore is the throttle: a session renewed after it is left unchanged.
	RenewedBefore time.Time
}

// Consumption marks a grant as used.
//
// Consuming a code removes the openid_request and pkce_request of its family. Consuming a refresh token for
// the first time removes the access token stored in the same batch as it (rotation). If that batch stored
// no access token, or several, it removes the access tokens of the family. Grants stored by the consuming
// batch take RequestID, SubjectID, SessionID, ClientID and Offline from the consumed grant; their own values
// are ignored.
//
// A grant that was used before is ErrConsumed, and the store revokes its family in the same transaction,
// however soon after the first use (RFC 6749, section 4.1.2; RFC 9700, section 4.14.2; rule 3). That is the
// only change that a failing batch makes. A missing or expired grant is ticketstore.ErrNotFound, and a grant
// whose session has ended is ErrSessionEnded.
type Consumption struct {
	Ref
	// Grace is how long after its first use a refresh token may be used again, for a client that lost the
	// answer. It does not apply to codes. The Grace of the first use is an upper bound too, because the store
	// keeps what a repeated use needs only that long. The tokens of both answers stay live, each refresh
	// token with its own access token. A use that would give the family more than MaxLines live refresh
	// tokens is ErrConsumed, but revokes nothing.
	Grace time.Duration
}

// Revocation removes the live tokens of a token family: all types when Types is empty.
type Revocation struct {
	RequestID string
	Types     []Type
}

// Result is the outcome of a Batch.
type Result struct {
	// Revoked counts the live grants that Delete and Revoke removed.
	Revoked int
	// Slid reports whether the session was renewed. It is false in the answer to a repeated batch.
	Slid bool
	// Session holds the times of the session to which all grants of Batch.Store belong, as of this
	// transaction: a Get at the same moment would have returned each of them as it is in the batch. It is nil
	// if a grant has no session, a different session, or outlives its session; if the session was renewed;
	// and if the consumed grant has other owners than the batch states. The answer to a repeated batch leaves
	// it out, because it would be outdated. Stores may always leave it out.
	Session *SessionTimes
}

// Access returns the access token that is removed when a refresh token of this batch is used: the only one
// that the batch stores. It is zero if there is none, or more than one.
func (b *Batch) Access() (access Ref) {
	for i := range b.Store {
		if b.Store[i].Type != ReferenceToken {
			continue
		}
		if access.Type != "" {
			return Ref{}
		}
		access = b.Store[i].Ref
	}
	return access
}

// Validate returns an error that names the field at fault if a store must not apply the batch.
func (b *Batch) Validate() error {
	if err := ticketstore.CheckID("operation_id", b.OperationID); err != nil {
		return err
	}
	if len(b.Store)+len(b.Delete)+len(b.Revoke) > MaxBatch {
		return ticketstore.Invalidf("store", "has more than %d changes", MaxBatch)
	}
	if len(b.Seen) > MaxBatch {
		return ticketstore.Invalidf("seen", "has more than %d entries", MaxBatch)
	}
	for _, seen := range b.Seen {
		if err := seen.Validate(); err != nil {
			return err
		}
	}
	if err := b.validateUse(); err != nil {
		return err
	}
	if s := b.Slide; s != nil {
		if err := ticketstore.CheckID("session_id", s.SessionID); err != nil {
			return err
		}
		if s.Expires.IsZero() {
			return ticketstore.Invalidf("expires", "is not set")
		}
	}
	if c := b.Consume; c != nil {
		if err := c.Validate(); err != nil {
			return err
		}
		if !c.Type.Consumable() {
			return ticketstore.Invalidf("consume", "names a grant that is neither a code nor a refresh token")
		}
	}
	for _, ref := range b.Delete {
		if err := ref.Validate(); err != nil {
			return err
		}
	}
	for _, revocation := range b.Revoke {
		if err := ticketstore.CheckID("request_id", revocation.RequestID); err != nil {
			return err
		}
	}
	return b.validateStored()
}

func (b *Batch) validateStored() error {
	size := 0
	for i := range b.Store {
		if err := b.Store[i].Validate(); err != nil {
			return err
		}
		size += len(b.Store[i].Data)
	}
	if size > MaxBatchData {
		return ticketstore.Invalidf("data", "of all grants together is longer than %d bytes", MaxBatchData)
	}
	return nil
}

func (b *Batch) validateUse() error {
	if b.Use == nil {
		return nil
	}
	if err := ticketstore.CheckID("session_id", b.Use.SessionID); err != nil {
		return err
	}
	if b.Use.Muted&^ticketstore.EndByAny != 0 {
		return ticketstore.Invalidf("muted", "has an unknown way of ending")
	}
	return ticketstore.CheckID("client_id", b.Use.ClientID)
}
