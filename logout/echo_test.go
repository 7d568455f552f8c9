package logout_test

// Responses of clients are neither stored nor logged.

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/logout"
)

// A client may echo the request in its response: it is not kept, because it contains the logout token.
func TestAnswerIsNotKept(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				raw, _ := io.ReadAll(r.Body)
				_, _ = c.Write([]byte(string(raw) + "\r\n\r\n"))
			}()
		}
	}()
	rp := newRelyingParty(t, status(200))
	client := rp.client("rp")
	client.BackChannelLogoutURI = "http://" + l.Addr().String() + "/"
	q := newQueue(due("n", "rp"))
	start(t, q, logout.ClientMap{"rp": client}, once)
	n := q.waitAttempts(t, "n", 1)
	if strings.Contains(n.LastError, "logout_token") {
		t.Errorf("the last error contains the client's response, the token: %q", n.LastError)
	}
}
