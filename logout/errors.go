package logout

// Errors of endings and notifications.

import "errors"

// Sentinel errors of endings and notifications. Those that all stores share are in ticketstore.
var (
	// ErrOutdated: the claim under which a delivery was reported is no longer the current one. Nothing was
	// changed.
	ErrOutdated = errors.New("claim is outdated")

	// ErrBusy: an ending of all sessions is under way, so that another cannot begin. Nothing was changed.
	ErrBusy = errors.New("an ending of all sessions is under way")
)
