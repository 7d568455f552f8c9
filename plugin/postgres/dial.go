package postgres

// Connections on which nothing is cancelled.

import (
	"context"
	"encoding/binary"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelCode marks a request to cancel a statement: protocol 1234, version 5678
// (https://www.postgresql.org/docs/current/protocol-message-formats.html, CancelRequest).
const cancelCode = 1234<<16 | 5678

// withoutCancel returns a dialer whose connections send no request to cancel, as pgx does whenever it gives
// a connection up. A write that is cancelled while it waits for the synchronous standby is committed and
// seen all the same (rule 3): it is left to its end, and looked up by its operation id.
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

// uncancelling drops what it is given to write first where that is a request to cancel, which always comes
// on a connection of its own, and closes.
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
