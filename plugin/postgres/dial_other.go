//go:build !linux

package postgres

// Systems without TCP_USER_TIMEOUT: keep-alives detect a dead peer, but only if no data is unacknowledged.

import "net"

func boundSilence(net.Conn) error { return nil }
