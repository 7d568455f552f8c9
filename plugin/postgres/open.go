package postgres

// Opening a store: checks of the server, the schema and the role's privileges.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// oldestServer is PostgreSQL 14.
	oldestServer = 140000
	// openPatience is how long Open waits for a server that is starting or has no free connection, if the
	// context has no deadline.
	openPatience = 10 * time.Second
	openPause    = 100 * time.Millisecond
)

// opened is a schema that this program may use, and its connection pool.
type opened struct {
	pool     *pgxpool.Pool
	settings Settings
	found    *schema.Found
	// asynchronous is why an acknowledged commit may be lost, empty if it cannot.
	asynchronous string
	// standbys are the synchronous standbys as configured on the server, empty for none.
	standbys string
}

// connect opens the schema of the settings, for serving or read-only. For serving it is created or migrated
// if the settings allow it. If the context has ids of stores (ticketstore.WithStoreIDs), nothing is created,
// and any other store is refused.
func connect(ctx context.Context, settings Settings, logger *slog.Logger, serve bool) (o *opened, err error) {
	config, err := settings.config()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
			err = explain(err, config.ConnConfig)
		}
	}()
	conn, err := firstConnection(ctx, pool, config.ConnConfig, logger)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	o = &opened{pool: pool, settings: settings}
	facts, err := checkServer(ctx, conn.Conn(), settings.now, serve)
	if err != nil {
		return nil, err
	}
	facts.multipleServers = multipleServers(config.ConnConfig)
	o.asynchronous, o.standbys = facts.asynchronous(), facts.standbys
	if o.found, err = settle(ctx, conn.Conn(), settings, logger, serve); err != nil {
		return nil, err
	}
	return o, nil
}

// firstConnection waits, for a while, for a server that is starting or has no free connection. It logs the
// wait immediately.
func firstConnection(
	ctx context.Context, pool *pgxpool.Pool, config *pgx.ConnConfig, logger *slog.Logger,
) (conn *pgxpool.Conn, err error) {
	until := program.OpenUntil(ctx, openPatience)
	trying, stop := context.WithDeadline(ctx, until)
	defer stop()
	for last := error(nil); ; last = err {
		conn, err = pool.Acquire(trying)
		if err != nil && last != nil && trying.Err() != nil {
			err = last // which says more than that the time was up
		}
		if err == nil || !awaited(err) || time.Now().After(until) {
			return conn, err
		}
		if last == nil {
			logger.WarnContext(ctx, "waiting for the database", "at", place(config),
				"for", time.Until(until).Round(time.Second).String(), "error", explain(err, config))
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), explain(err, config))
		}
	}
}

// serverFacts are the properties of a server on which a store depends.
type serverFacts struct {
	version                                 int
	replica, readOnly                       bool
	encoding, isolation, fsync, synchronous string
	standbys                                string
	multipleServers                         bool // named in the DSN
	clock                                   int64
}

const askServer = `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
	current_setting('transaction_read_only')::bool, current_setting('server_encoding'),
	current_setting('transaction_isolation'), current_setting('fsync'), current_setting('synchronous_commit'),
	current_setting('synchronous_standby_names'),
	(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint`

// checkServer refuses a server that cannot keep the store correctly.
func checkServer(
	ctx context.Context,
	conn *pgx.Conn,
	now func() time.Time,
	serve bool,
) (*serverFacts, error) {
	if now == nil {
		now = time.Now
	}
	s := &serverFacts{}
	before := now()
	err := conn.QueryRow(ctx, askServer).
		Scan(&s.version, &s.replica, &s.readOnly, &s.encoding, &s.isolation, &s.fsync,
			&s.synchronous, &s.standbys, &s.clock)
	if err != nil {
		return nil, err
	}
	after := now()
	switch {
	case s.version < oldestServer:
		return nil, fmt.Errorf("PostgreSQL %d is too old: 14 or later is wanted", s.version/10000)
	case s.replica && serve:
		return nil, errReplica
	case s.readOnly && serve:
		return nil, errReadOnly
	case s.encoding != "UTF8":
		return nil, fmt.Errorf("the database has the encoding %s: make one with the encoding UTF8",
			s.encoding)
	case s.isolation != "read committed":
		return nil, fmt.Errorf("transactions have the isolation level %s, read committed is wanted: "+
			"ALTER ROLE ... SET default_transaction_isolation = 'read committed'", s.isolation)
	}
	if err := checkClock(before, after, time.Unix(0, s.clock)); err != nil {
		return nil, err
	}
	return s, nil
}

// asynchronous returns why an acknowledged commit may be lost, or "" if it cannot.
func (s *serverFacts) asynchronous() string {
	switch {
	case s.fsync != "on":
		return "fsync is " + s.fsync + ": a crash of the database's machine damages the store"
	case s.synchronous == "off":
		return "synchronous_commit is off: a crash of the database loses what was acknowledged"
	case s.synchronous == "local" && s.standbys != "":
		return "synchronous_commit is local: a failover loses what was acknowledged"
	case s.standbys == "" && s.multipleServers:
		return "synchronous_standby_names is empty: a failover to another server of dsn loses what that " +
			"one has not received"
	}
	return ""
}

// maxClockOff is the maximum difference between a host's clock and the database's (rule 14).
const maxClockOff = 2 * time.Second

var errClock = fmt.Errorf("%w: the clocks differ", ticketstore.ErrUnavailable)

// checkClock refuses a host whose clock is off. The database read its clock between before and after.
func checkClock(before, after, database time.Time) error {
	off := max(database.Sub(after), before.Sub(database))
	if off <= maxClockOff {
		return nil
	}
	direction := "behind"
	if before.After(database) {
		direction = "ahead of"
	}
	return fmt.Errorf("%w: this host's clock is %v %s the database's, at most %v is tolerated: set it by NTP",
		errClock, off.Round(time.Millisecond), direction, maxClockOff)
}

// settle finds the store in the schema, creates or migrates it if wanted and allowed, and checks that this
// program may use it.
func settle(
	ctx context.Context, conn *pgx.Conn, settings Settings, logger *slog.Logger, serve bool,
) (*schema.Found, error) {
	name, program := settings.schema(), schema.Embedded()
	found, err := schema.Look(ctx, conn, name)
	if err != nil {
		return nil, err
	}
	if err := checkStoreID(ctx, found, settings); err != nil {
		return nil, err
	}
	if serve && settings.migrate() && found.Needs <= program.Newest() && found.Schema < program.Newest() {
		from, to, err := program.Migrate(ctx, conn, name)
		if err == nil && settings.RuntimeRole != "" {
			err = schema.Grant(ctx, conn, name, settings.RuntimeRole)
		}
		if err != nil {
			return nil, err
		}
		logger.InfoContext(ctx, "store migrated", "schema", name, "from", from, "to", to)
		if found, err = schema.Look(ctx, conn, name); err != nil {
			return nil, err
		}
		if err := checkStoreID(ctx, found, settings); err != nil {
			return nil, err
		}
	}
	if found.Empty {
		return nil, fmt.Errorf(
			"there is no store in the schema %q: run `sessions-postgres migrate` as its owner", name)
	}
	if err := program.Fits(found); err != nil {
		return nil, err
	}
	if err := schema.CheckShape(ctx, conn, name); err != nil {
		return nil, err
	}
	if serve {
		err = checkPrivileges(ctx, conn, name)
	}
	return found, err
}

// checkStoreID refuses a store whose id is not among those that the caller accepts (rule 11).
func checkStoreID(ctx context.Context, found *schema.Found, settings Settings) error {
	wanted := ticketstore.StoreIDs(ctx)
	if len(wanted) == 0 || slices.Contains(wanted, found.StoreID) {
		return nil
	}
	return &ticketstore.OtherStoreError{
		Place: "schema " + settings.schema(), Wanted: wanted, Found: found.StoreID,
	}
}

// askRights returns the privileges of schema.Grant that the role lacks.
const askRights = `
	SELECT c.relname || ' (' || r.need || ')'
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
		unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS r(need)
	WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
		AND (r.need <> 'TRUNCATE' OR ` + schema.Emptied + `)
		AND (r.need = 'SELECT' OR c.relname NOT IN ('schema_version', 'ledger'))
		AND NOT has_table_privilege(c.oid, r.need)
	ORDER BY 1`

// checkPrivileges refuses a role with missing privileges.
func checkPrivileges(ctx context.Context, conn *pgx.Conn, name string) error {
	rows, _ := conn.Query(ctx, askRights, name) // the rows hold its error
	lacking, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(lacking) == 0 {
		return err
	}
	return fmt.Errorf("%w: it lacks rights on %d tables of schema %q, such as %s: run "+
		"`sessions-postgres migrate -schema %[3]s -runtime-role ROLE` as the owner", errRights, len(lacking),
		name, strings.Join(lacking[:min(3, len(lacking))], ", "))
}
