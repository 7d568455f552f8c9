package grantstore

import (
	"errors"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Sentinel errors. Those that all stores share are the same values as in ticketstore.
var (
	ErrNotFound     = ticketstore.ErrNotFound
	ErrExists       = ticketstore.ErrExists
	ErrConflict     = ticketstore.ErrConflict
	ErrInvalid      = ticketstore.ErrInvalid
	ErrResultsToken = ticketstore.ErrResultsToken
	ErrUnavailable  = ticketstore.ErrUnavailable

	// ErrConsumed: the code or refresh token was used before. Get returns the grant along with it.
	ErrConsumed = errors.New("grant was already used")
	// ErrSessionEnded: the grant's session has ended or expired, or the grant was revoked in it, so the grant is dead.
	ErrSessionEnded = errors.New("session has ended")
)
