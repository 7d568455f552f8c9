package postgres

// Connections without cancellation.

import (
	"context"
	"encoding/binary"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelCode marks a request to cancel a statement: protocol 1234, version 5678
// (https://www.postgresql.org/docs/current/protocol-message-formats.html, CancelRequest).
const cancelCode = 1234<<16 | 5678

// withoutCancel returns a dialer whose connections send no cancel request, which pgx does whenever it closes
// a connection early. A write that is cancelled while it waits for the synchronous standby is committed and
// visible nevertheless (rule 3): it is left to complete, and its outcome is looked up by its operation id.
func withoutCancel(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := boundSilence(conn); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return &uncancelling{Conn: conn}, nil
	}
}

// uncancelling drops its first write if that is a cancel request, which is always sent on a separate
// connection, and closes the connection.
type uncancelling struct {
	net.Conn
	begun bool
}

func (c *uncancelling) Write(p []byte) (int, error) {
	if !c.begun && len(p) >= 8 && binary.BigEndian.Uint32(p[4:]) == cancelCode {
		return len(p), c.Close()
	}
	c.begun = true
	return c.Conn.Write(p)
}
