package grantstore

// Errors of grant stores.

import "errors"

// Sentinel errors of grants. Errors shared by all stores are in ticketstore.
var (
	// ErrConsumed: the code or refresh token was used before. Get returns the grant along with it.
	ErrConsumed = errors.New("grant was already used")
	// ErrSessionEnded: the grant is dead because its session has ended or expired, or because it was revoked
	// while the session was kept.
	ErrSessionEnded = errors.New("session has ended")
)
