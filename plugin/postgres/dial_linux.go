package postgres

// Detection of dead connections.

import (
	"net"
	"syscall"
)

// userTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall does not have.
const userTimeout = 18

// boundSilence makes a connection fail if its peer does not acknowledge sent data for a while, for example
// after a network failure.
func boundSilence(conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		timeout := int(ackTimeout.Milliseconds())
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout, timeout)
	})
	if err == nil {
		err = failed
	}
	return err
}
