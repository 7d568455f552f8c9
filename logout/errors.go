package logout

// Errors of endings and notifications.

import "errors"

// Sentinel errors of endings and notifications. Errors shared by all stores are in ticketstore.
var (
	// ErrOutdated: a newer claim has replaced the one under which a delivery was reported. Nothing was
	// changed.
	ErrOutdated = errors.New("claim is outdated")

	// ErrBusy: an ending of all sessions is running, so a second one cannot begin. Nothing was changed.
	ErrBusy = errors.New("an ending of all sessions is under way")
)
