package postgres

// The primary among several servers of a DSN, and connections to a replaced primary.

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// oneOfSeveral is how long one of several servers may take to accept a connection and to prove that it
	// commits.
	oneOfSeveral = 3 * time.Second
	// ackTimeout is how long a server may leave sent data unacknowledged. The system's default is a quarter
	// of an hour.
	ackTimeout = 10 * time.Second
)

// proveCommits makes a server that accepts writes commit something, which leaves no trace but in its log. A
// primary that was replaced by another one waits for its synchronous standby without end. Without this check
// it would be used forever, because it reports that it accepts writes.
const proveCommits = `SELECT CASE WHEN NOT pg_is_in_recovery()
	THEN pg_logical_emit_message(true, 'fosite-sessions', '')::text END`

// multipleServers reports whether a configuration names more than one server.
func multipleServers(c *pgx.ConnConfig) bool {
	return slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return f.Host != c.Host || f.Port != c.Port
	})
}

// primaries makes the connections of a configuration with several servers go to the primary, wherever a
// failover has moved it.
func primaries(c *pgx.ConnConfig) {
	chosen := c.ValidateConnect
	if chosen == nil {
		chosen = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	open := &connections{}
	c.DialFunc = open.through(c.DialFunc)
	c.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if err := chosen(ctx, conn); err != nil {
			return err
		}
		result := conn.ExecParams(ctx, proveCommits, nil, nil, nil, nil).Read()
		if result.Err != nil {
			return result.Err
		}
		if len(result.Rows) == 1 && result.Rows[0][0] != nil {
			open.closeOthers(conn.Conn().RemoteAddr().String())
		}
		return nil
	}
}

// connections are the open connections by server.
type connections struct {
	mutex sync.Mutex
	open  map[*tracked]string
}

// tracked is a connection that is deregistered when it is closed.
type tracked struct {
	net.Conn
	of *connections
}

func (c *tracked) Close() error {
	c.of.mutex.Lock()
	delete(c.of.open, c)
	c.of.mutex.Unlock()
	return c.Conn.Close()
}

func (c *connections) through(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		t := &tracked{conn, c}
		c.mutex.Lock()
		defer c.mutex.Unlock()
		if c.open == nil {
			c.open = map[*tracked]string{}
		}
		c.open[t] = conn.RemoteAddr().String()
		return t, nil
	}
}

// closeOthers closes the connections to all servers except the given one, which has just committed. Calls
// that wait on them, for a server that hangs or for a commit that its standby will never confirm, are
// resolved or retried at the primary (resolve).
func (c *connections) closeOthers(server string) {
	c.mutex.Lock()
	var others []*tracked
	for conn, to := range c.open {
		if to != server {
			others = append(others, conn)
		}
	}
	c.mutex.Unlock()
	for _, conn := range others {
		_ = conn.Close()
	}
}
