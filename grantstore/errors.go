package grantstore

// Errors of grant stores.

import "errors"

// Sentinel errors of grants. Those that all stores share are in ticketstore.
var (
	// ErrConsumed: the code or refresh token was used before. Get returns the grant along with it.
	ErrConsumed = errors.New("grant was already used")
	// ErrSessionEnded: the grant's session has ended or expired, or the grant was revoked in it, so the grant
	// is dead.
	ErrSessionEnded = errors.New("session has ended")
)
