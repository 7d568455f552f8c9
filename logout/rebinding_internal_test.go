package logout

// A test of DNS rebinding.

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// nameServer answers every query for IPv4 addresses with those that are set, and other queries with none.
type nameServer struct {
	mutex     sync.Mutex
	addresses []string
	asked     int
}

func (n *nameServer) set(addresses ...string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.addresses = addresses
}

// start serves on a local port, which it returns.
func (n *nameServer) start(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		query := make([]byte, 512)
		for {
			size, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(n.answer(query[:size]), from)
		}
	}()
	return conn.LocalAddr().String()
}

// answer encodes a response (RFC 1035, section 4).
func (n *nameServer) answer(query []byte) []byte {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	question := query[12 : end+5]
	answer := append([]byte{query[0], query[1], 0x85, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	if binary.BigEndian.Uint16(query[end+1:]) != 1 {
		return answer
	}
	n.asked++
	binary.BigEndian.PutUint16(answer[6:], uint16(len(n.addresses)))
	for _, address := range n.addresses {
		ip := netip.MustParseAddr(address).As4()
		answer = append(append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip[:]...)
	}
	return answer
}

// A name that resolves to an allowed address first, and to a different one later, is not connected to.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var served atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer server.Close()
	names := &nameServer{}
	address := names.start(t)
	config := DispatcherConfig{Timeout: 20 * time.Second, Concurrency: 1, PerClient: 1}
	guard, err := newGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})
	if err != nil {
		t.Fatal(err)
	}
	dialer := newDialer(&config, guard)
	dialer.Resolver = &net.Resolver{PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", address)
		}}
	client := newHTTPClient(&config, guard)
	client.Transport.(*http.Transport).DialContext = dialer.DialContext
	location, _ := url.Parse(server.URL) // always valid
	post := func() error {
		response, err := client.Post("http://rp.example.test.:"+location.Port()+"/", "text/plain",
			strings.NewReader("x"))
		if err == nil {
			_ = response.Body.Close()
		}
		client.CloseIdleConnections()
		return err
	}
	for _, step := range []struct {
		addresses []string
		reached   bool
	}{
		{[]string{"127.0.0.1"}, true},
		{[]string{"127.0.0.2"}, false},
		{[]string{"169.254.169.254", "10.0.0.1"}, false},
		{[]string{"127.0.0.2", "127.0.0.1"}, true}, // connects to the allowed one
		{[]string{"0.0.0.0"}, false},
	} {
		names.set(step.addresses...)
		before := served.Load()
		err := post()
		if step.reached != (err == nil) || step.reached != (served.Load() > before) {
			t.Errorf("%v: error %v, reached %t; want reached %t", step.addresses, err, served.Load() > before,
				step.reached)
		}
		if !step.reached && !errors.Is(err, ErrAddress) {
			t.Errorf("%v: error %v, want ErrAddress", step.addresses, err)
		}
	}
	names.mutex.Lock()
	defer names.mutex.Unlock()
	if names.asked < 5 {
		t.Errorf("the name was looked up %d times, want once for each connection", names.asked)
	}
}
