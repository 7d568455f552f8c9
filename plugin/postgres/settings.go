package postgres

// The settings of the engine, which the host sends as JSON.

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/plugin/postgres/internal/schema"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// DSNEnv is the environment variable with the DSN, used if the settings have none.
const DSNEnv = "SESSIONS_POSTGRES_DSN"

const (
	// DefaultSchema is the default schema of the tables.
	DefaultSchema = "sessions"
	// defaultConnections suffice for the committers and readers of a host.
	defaultConnections = 8
	minConnections     = 4
	maxConnections     = 100
	connectTimeout     = 5 * time.Second
)

// Settings configure the engine.
type Settings struct {
	// DSN is the address of the database, as a URL (postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full)
	// or as key=value pairs: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING. Its
	// parameters for TLS (sslmode, sslrootcert, sslcert, sslkey), several hosts and a pass file (passfile)
	// are those of libpq; so are the environment variables that complete it.
	DSN string `json:"dsn,omitempty"`
	// DSNFile is a file with the DSN, for a DSN with a password. One of DSN, DSNFile and the environment
	// variable DSNEnv is required, in this order.
	DSNFile string `json:"dsn_file,omitempty"`
	// PasswordFile is a file with only the password, such as a mounted secret. It replaces the DSN's
	// password, and is read again for each connection.
	PasswordFile string `json:"password_file,omitempty"`
	// Schema is the schema of the tables: DefaultSchema if empty. Two stores in one database need two.
	Schema string `json:"schema,omitempty"`
	// Connections bounds the connections of this host: 4 to 100, default 8.
	Connections int `json:"connections,omitempty"`
	// Migrate makes Open create the tables and migrate them to the newest schema. Default true. If false, or
	// with Pooler, a store that is not migrated is refused: run `sessions-postgres migrate` as the owner.
	Migrate *bool `json:"migrate,omitempty"`
	// RuntimeRole is a role to which migrations grant the privileges that hosts need, if hosts do not sign in
	// as the owner of the tables.
	RuntimeRole string `json:"runtime_role,omitempty"`
	// Pooler: the database is behind a pooler in transaction mode, such as PgBouncer. Then no statement is
	// prepared, and parameters are set per transaction, not per session.
	Pooler bool `json:"pooler,omitempty"`
	// UnverifiedTLS allows an unencrypted connection to another machine, or one to an unverified server
	// (sslmode other than verify-full and verify-ca): an attacker in between can read and change everything.
	UnverifiedTLS bool `json:"unverified_tls,omitempty"`

	// now is time.Now if nil.
	now func() time.Time
}

// String omits the DSN, which may contain a password.
func (s Settings) String() string {
	return fmt.Sprintf("schema=%s connections=%d migrate=%t pooler=%t", s.schema(), s.connections(),
		s.migrate(), s.Pooler)
}

// GoString is String.
func (s Settings) GoString() string { return s.String() }

func (s *Settings) schema() string   { return cmp.Or(s.Schema, DefaultSchema) }
func (s *Settings) connections() int { return cmp.Or(s.Connections, defaultConnections) }
func (s *Settings) migrate() bool    { return (s.Migrate == nil || *s.Migrate) && !s.Pooler }

// ParseSettings parses settings from JSON. Each unknown field and bad value is a *ticketstore.FieldError.
func ParseSettings(raw []byte) (Settings, error) {
	s, err := program.ParseSettings[Settings]("postgres", raw)
	if err == nil {
		_, err = s.config()
	}
	return s, err
}

// config validates all settings and returns the configuration of the pool.
func (s *Settings) config() (*pgxpool.Config, error) {
	var problems []error
	bad := func(field, format string, args ...any) {
		problems = append(problems, ticketstore.Invalidf(field, format, args...))
	}
	if !schema.ValidName(s.schema()) {
		bad("schema", "is not a name of at most 63 of a to z, 0 to 9 and _, or is one of the server's")
	}
	if n := s.connections(); n < minConnections || n > maxConnections {
		bad("connections", "is outside %d to %d", minConnections, maxConnections)
	}
	if s.PasswordFile != "" {
		if _, err := readSecret(s.PasswordFile); err != nil {
			bad("password_file", "cannot be read: %v", err)
		}
	}
	field, dsn, err := s.dsn()
	var config *pgxpool.Config
	if err == nil {
		config, err = parse(dsn)
	}
	if err != nil {
		bad(field, "%v", err)
		return nil, errors.Join(problems...)
	}
	if unknown := unknownParameters(config.ConnConfig); len(unknown) > 0 {
		bad(field, "has parameters that are not known here: %s", strings.Join(unknown, ", "))
	}
	if s.Pooler && !onlyName(config.ConnConfig.RuntimeParams) {
		bad(field, "has parameters of a session, which a pooler does not keep: leave all but "+
			"application_name to ALTER ROLE")
	}
	if host := unverified(config.ConnConfig); host != "" && !s.UnverifiedTLS {
		bad(field, "connects to %s without verifying it: use sslmode=verify-full with sslrootcert=FILE, or "+
			"set unverified_tls", host)
	}
	s.complete(config)
	return config, errors.Join(problems...)
}

// dsn returns the DSN and the setting that has it.
func (s *Settings) dsn() (field, dsn string, err error) {
	switch {
	case s.DSN != "" && s.DSNFile != "":
		return "dsn_file", "", errors.New("is set beside dsn: name the database once")
	case s.DSN != "":
		return "dsn", s.DSN, nil
	case s.DSNFile != "":
		if dsn, err = readSecret(s.DSNFile); err != nil {
			return "dsn_file", "", fmt.Errorf("cannot be read: %w", err)
		}
		return "dsn_file", dsn, nil
	case os.Getenv(DSNEnv) != "":
		return DSNEnv, os.Getenv(DSNEnv), nil
	}
	return "dsn", "", fmt.Errorf("is missing, and so are dsn_file and the environment variable %s: name the "+
		"database as postgres://USER@HOST:PORT/DATABASE", DSNEnv)
}

// readSecret reads a file with one line, which others must not be able to access.
func readSecret(path string) (string, error) {
	text, _, err := smallfile.ReadSecret(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", errors.New("it is empty")
	}
	return secret, nil
}

// parse parses a DSN. Its errors do not include the DSN: a badly quoted password cannot be told from the
// rest.
func parse(dsn string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err == nil {
		return config, nil
	}
	if file, ok := errors.AsType[*os.PathError](err); ok {
		return nil, fmt.Errorf("names a file that cannot be read: %w", file)
	}
	_, malformed := errors.AsType[*pgconn.ParseConfigError](err)
	if malformed && strings.Contains(err.Error(), "TLS") {
		return nil, errors.New(
			"has TLS parameters that do not fit: sslmode is one of disable, allow, prefer, require, " +
				"verify-ca and verify-full; sslrootcert, sslcert and sslkey name PEM files, and sslcert " +
				"and sslkey come together")
	}
	return nil, errors.New(
		"is not understood: write postgres://USER@HOST:PORT/DATABASE, or host=HOST port=PORT " +
			"user=USER dbname=DATABASE")
}

// sessionParameters are those that a DSN may set.
var sessionParameters = []string{
	"application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout",
	"synchronous_commit", "options", "timezone", "client_encoding",
}

// unknownParameters returns those that pgx leaves to the server to refuse, which a pooler may not do.
func unknownParameters(config *pgx.ConnConfig) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(config.RuntimeParams)), func(name string) bool {
		return slices.Contains(sessionParameters, strings.ToLower(name))
	})
}

// onlyName reports whether no session parameter is set except the application's name.
func onlyName(parameters map[string]string) bool {
	for name := range parameters {
		if name != "application_name" {
			return false
		}
	}
	return true
}

// unverified returns the first host on another machine to which a connection may be unverified.
func unverified(config *pgx.ConnConfig) string {
	if !trusted(config.Host, config.TLSConfig) {
		return config.Host
	}
	for _, other := range config.Fallbacks {
		if !trusted(other.Host, other.TLSConfig) {
			return other.Host
		}
	}
	return ""
}

// trusted reports whether a connection is to this machine, or to a verified server. verify-ca verifies in a
// callback, because the host's name does not matter then.
func trusted(host string, config *tls.Config) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return true
	}
	return config != nil && (!config.InsecureSkipVerify || config.VerifyPeerCertificate != nil ||
		config.VerifyConnection != nil)
}

// planning are the planner's parameters. Each statement finds its rows by an index: a plan that scans a table
// or joins a whole one is wrong, however small the table was when the statement was planned. Parallel workers
// take longer to start than any of them.
var planning = map[string]string{
	"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_hashjoin": "off",
	"enable_mergejoin": "off", "max_parallel_workers_per_gather": "0", "jit": "off",
}

// idleTimeout is how long a host that hangs or is disconnected can hold locks.
const idleTimeout = "10s"

// pooledMode is how statements are executed behind a pooler: as the unnamed statement, with cached parameter
// types, so that nothing is left behind in a session.
const pooledMode = pgx.QueryExecModeCacheDescribe

// isPooled reports whether the database is behind a pooler.
func isPooled(pool *pgxpool.Pool) bool {
	return pool.Config().ConnConfig.DefaultQueryExecMode == pooledMode
}

// ofTransaction sets per transaction what a session cannot keep behind a pooler.
var ofTransaction = func() string {
	parameters := maps.Clone(planning)
	parameters["idle_in_transaction_session_timeout"] = idleTimeout
	var set []string
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		set = append(set, fmt.Sprintf("set_config('%s', '%s', true)", name, parameters[name]))
	}
	return "SELECT " + strings.Join(set, ", ")
}()

// complete adds the engine's parameters to those of the DSN.
func (s *Settings) complete(config *pgxpool.Config) {
	c := config.ConnConfig
	if multipleServers(c) {
		c.ConnectTimeout = cmp.Or(c.ConnectTimeout, oneOfSeveral)
	}
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, connectTimeout)
	c.DialFunc, c.Tracer = withoutCancel(c.DialFunc), &roundTrips{}
	c.RuntimeParams["application_name"] = cmp.Or(c.RuntimeParams["application_name"], "fosite-sessions")
	if s.Pooler {
		c.DefaultQueryExecMode, c.StatementCacheCapacity = pooledMode, 0
	} else {
		// Every race is a write-write conflict, which this level shows to the later transaction (rule 2).
		c.RuntimeParams["default_transaction_isolation"] = "read committed"
		maps.Copy(c.RuntimeParams, planning)
		for name, value := range map[string]string{
			"idle_in_transaction_session_timeout": idleTimeout, "tcp_keepalives_idle": "10",
			"tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
		} {
			c.RuntimeParams[name] = cmp.Or(c.RuntimeParams[name], value)
		}
	}
	if multipleServers(c) {
		primaries(c)
	}
	config.MaxConns = int32(s.connections())
	config.MinConns = min(2, config.MaxConns)
	config.MaxConnLifetime, config.MaxConnIdleTime = time.Hour, 10*time.Minute
	if s.PasswordFile != "" {
		config.BeforeConnect = s.password
	}
}

// password replaces the DSN's password with the current contents of the file.
func (s *Settings) password(_ context.Context, c *pgx.ConnConfig) (err error) {
	c.Password, err = readSecret(s.PasswordFile)
	return err
}
