package grantstore

// Batches: what an authorization server changes in one transaction.

import (
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of a Batch.
const (
	// MaxBatch bounds the grants stored, the references deleted and the families revoked by one batch,
	// together, and the entries of Batch.Seen.
	MaxBatch = 64
	// MaxBatchData bounds the Data of all grants stored by one batch, together, in bytes.
	MaxBatchData = 1 << 20
	// MaxLines bounds the live refresh tokens of a family (see Consumption.Grace).
	MaxLines = 64
	// OperationRetention is how long the answer to an operation id is kept.
	OperationRetention = 10 * time.Minute
	// ConsumedRetention is how long a consumed grant without Expires is kept to detect its reuse.
	ConsumedRetention = 30 * 24 * time.Hour
)

// Batch is a set of changes that applies as a whole or not at all. All conditions are checked before anything
// is written. The order of application is:
//
//  1. Seen names grants that must not have changed since they were read.
//  2. Consume marks a code or refresh token as used. It must be live and unused (rule 2).
//  3. Use records that a client used a session, which must be live. A client beyond ticketstore.MaxClients,
//     here or in Store, is ticketstore.ErrTooManyClients.
//  4. Slide renews a session, where it may (rule 9).
//  5. Delete removes grants; a missing one is no error.
//  6. Revoke removes the live tokens of token families (see Revocation).
//  7. Store adds grants. A key that is taken by a live grant is ticketstore.ErrExists. A grant bound to a
//     session needs that session alive, unless the batch consumes a grant that outlives it.
type Batch struct {
	// OperationID makes repeating the batch safe: within OperationRetention a batch with the id of one that
	// was applied changes nothing and gets the same answer. Required; choose 128 random bits or more.
	OperationID string
	Seen        []Precondition
	Use         *Use
	Slide       *Slide
	Consume     *Consumption
	Delete      []Ref
	Revoke      []Revocation
	Store       []Grant
}

// Precondition is a grant that a batch builds on: compare-and-set, for a change that reads a grant, deletes
// it and stores it again. It must be live at now and hold the same Data; else the batch is
// ticketstore.ErrConflict.
type Precondition struct {
	Ref
	// Data is the ticketstore.KeyOf of the Data that was read.
	Data ticketstore.Key
}

// PreconditionOf returns the precondition that a grant is still as Get returned it.
func PreconditionOf(g *Grant) Precondition {
	return Precondition{Ref: g.Ref, Data: ticketstore.KeyOf(g.Data)}
}

// Use says that a client used a session. The client is a client of the session from then on, whether or not
// the batch stores a grant.
type Use struct {
	SessionID string
	ClientID  string
	// Notify: the client has a back-channel logout URI.
	Notify bool
	// Coordinated: the client's activity keeps the session alive.
	Coordinated bool
	// Muted are the ends of the session of which the client is not notified.
	Muted ticketstore.Ends
}

// Slide renews a session that a client uses (rule 9). It never fails a batch: a session that is over, or was
// renewed after RenewedBefore, is left as it is, and so is one that would not expire later. It never passes
// EndsAt. The session's Version rises.
type Slide struct {
	SessionID string
	Expires   time.Time
	// RenewedBefore is the throttle: a session renewed later than that is left as it is.
	RenewedBefore time.Time
}

// Consumption marks a grant as used.
//
// Consuming a code removes the openid_request and pkce_request of its family. Consuming a refresh token for
// the first time removes the access token that the same batch stored with it (rotation). Where a batch stored
// a refresh token with no access token, or with several, it removes the access tokens of the family. Grants
// stored by the consuming batch take RequestID, SubjectID, SessionID, ClientID and Offline from the consumed
// grant; their own values are ignored.
//
// A grant that was used before is ErrConsumed, and the store revokes its family in the same transaction,
// however soon after the first use (RFC 6749, section 4.1.2; RFC 9700, section 4.14.2; rule 3). That is the
// only change that a failing batch makes. A missing or expired grant is ticketstore.ErrNotFound, one whose
// session has ended ErrSessionEnded.
type Consumption struct {
	Ref
	// Grace lets a refresh token be used again this long after its first use, for a client that lost the
	// answer. It does not apply to codes. The grace of the first use bounds it too: what a repeat needs is
	// kept no longer. The tokens of both answers stay live, each refresh token with an access token of its
	// own. A use that would give the family more than MaxLines live refresh tokens is ErrConsumed, and
	// revokes nothing.
	Grace time.Duration
}

// Revocation removes the live tokens of a token family: all types when Types is empty.
type Revocation struct {
	RequestID string
	Types     []Type
}

// Result is what a Batch did.
type Result struct {
	// Revoked counts the live grants that Delete and Revoke removed.
	Revoked int
	// Slid: the session slid. The answer to a repeated batch leaves it out.
	Slid bool
	// Session says how long the session lives that all grants of Batch.Store are of, as the batch was
	// applied. With it, Get would have returned each of them as the batch has it. It is nil where one is of
	// no session, of another or of one that it outlives, where the session slid, and where the consumed
	// grant has other owners than the batch says. The answer to a repeated batch leaves it out: that says
	// nothing of now. A store need not say it.
	Session *SessionTimes
}

// Access returns the access token that is removed when a refresh token of this batch is used: the only one
// that the batch stores. It is zero where there is none, or more than one.
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

// Validate refuses a batch that a store must not apply, naming the field at fault.
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
		return ticketstore.Invalidf("muted", "has an end that there is not")
	}
	return ticketstore.CheckID("client_id", b.Use.ClientID)
}
