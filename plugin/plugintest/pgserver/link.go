package pgserver

// A connection to a server that a test can cut.

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
)

// Link forwards TCP connections to a server. While it is cut, bytes and connections wait, and nothing is
// refused or reset: what was in flight arrives once it is joined, even from a client that has gone meanwhile.
type Link struct {
	server   *Server
	listener net.Listener
	open     context.Context // until the end of the test
	carrying sync.WaitGroup

	mutex sync.Mutex
	whole chan struct{} // closed while bytes pass
}

// Link creates a link to the server, until the test ends.
func (s *Server) Link(t testing.TB) *Link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed below
	if err != nil {
		t.Fatal(err)
	}
	open, end := context.WithCancel(context.Background())
	l := &Link{server: s, listener: listener, open: open, whole: make(chan struct{})}
	l.Join()
	l.carrying.Go(l.accept)
	t.Cleanup(func() {
		end()
		_ = listener.Close()
		l.carrying.Wait()
	})
	return l
}

// DSN returns the DSN of the server through the link, for the superuser.
func (l *Link) DSN() string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=postgres sslmode=disable",
		l.listener.Addr().(*net.TCPAddr).Port, superuser)
}

// Cut stops the link until Join.
func (l *Link) Cut() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.whole = make(chan struct{})
}

// Join ends Cut.
func (l *Link) Join() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	close(l.whole)
}

// pass waits until the link is joined. It returns false once the test has ended.
func (l *Link) pass() bool {
	l.mutex.Lock()
	whole := l.whole
	l.mutex.Unlock()
	select {
	case <-whole:
		return true
	case <-l.open.Done():
		return false
	}
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.carrying.Go(func() { l.connect(client) })
	}
}

// connect forwards a connection until both of its ends have closed it.
func (l *Link) connect(client net.Conn) {
	defer func() { _ = client.Close() }()
	if !l.pass() {
		return
	}
	socket := filepath.Join(l.server.folder, fmt.Sprintf(".s.PGSQL.%d", l.server.Port))
	server, err := net.Dial("unix", socket) //nolint:noctx // it is on this machine
	if err != nil {
		return
	}
	defer context.AfterFunc(l.open, func() { _, _ = client.Close(), server.Close() })()
	var back sync.WaitGroup
	back.Go(func() { l.carry(client, server) })
	l.carry(server, client)
	back.Wait()
}

// carry forwards one direction, and closes the destination at the end of the source.
func (l *Link) carry(to io.WriteCloser, from io.Reader) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !l.pass() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
