package hostadapter

// Serving returns the backend that serves, for tests that look behind the switch.
func (a *Adapter) Serving() Backend { return a.backends.serving() }
