package hostadapter

// What the external tests need of the package.

import "github.com/fosite-sessions/sessions"

// Serving returns the backend that serves, for tests that look behind the switch.
func (a *Adapter) Serving() sessions.Backend { return a.backends.serving() }
