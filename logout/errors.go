package logout

import (
	"errors"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Sentinel errors. Those that all stores share are the same values as in ticketstore.
var (
	ErrNotFound     = ticketstore.ErrNotFound
	ErrInvalid      = ticketstore.ErrInvalid
	ErrResultsToken = ticketstore.ErrResultsToken
	ErrUnavailable  = ticketstore.ErrUnavailable

	// ErrOutdated: the claim under which a delivery was reported is no longer the current one. Nothing was changed.
	ErrOutdated = errors.New("claim is outdated")

	// ErrBusy: an ending of all sessions is under way, so that another cannot begin. Nothing was changed.
	ErrBusy = errors.New("an ending of all sessions is under way")
)
