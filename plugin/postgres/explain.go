package postgres

// Readable errors of the server: what is wrong, where, and what to do.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fosite-sessions/sessions/ticketstore"
)

var (
	errReplica = fmt.Errorf("%w: the server is a read-only replica: name the primary, or several hosts with "+
		"target_session_attrs=read-write", ticketstore.ErrUnavailable)
	errReadOnly = fmt.Errorf("%w: transactions are read-only (default_transaction_read_only)",
		ticketstore.ErrUnavailable)
	errRights = errors.New("the role has no right to that")
)

// Error codes of PostgreSQL, appendix A.
const (
	codeDiskFull       = "53100"
	codeConnections    = "53300"
	codeReadOnly       = "25006" // a replaced primary, or a replica
	codeWrongPassword  = "28P01"
	codeNotAdmitted    = "28000"
	codeNoDatabase     = "3D000"
	codeNoRight        = "42501"
	codeUnknownSetting = "42704"
	codeCancelled      = "57014"
	codeShuttingDown   = "57P01"
	codeCrashed        = "57P02"
	codeStarting       = "57P03"
)

// awaited reports whether a server that refused a connection, or did not answer, may accept one soon.
func awaited(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch refused.Code {
		case codeStarting, codeShuttingDown, codeCrashed, codeConnections:
			return true
		}
		return false
	}
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout() || slices.ContainsFunc([]error{
		context.DeadlineExceeded, // connect_timeout
		syscall.ECONNREFUSED, syscall.ENOENT, syscall.ECONNRESET, io.ErrUnexpectedEOF,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, // a machine that is starting
	}, func(target error) bool { return errors.Is(err, target) })
}

// explain says what to do about an error of the server. It includes the server's address, the user and the
// database, but no password.
func explain(err error, config *pgx.ConnConfig) error {
	if err == nil || errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, ticketstore.ErrOtherStore) {
		return err
	}
	at := place(config)
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return explainRefusal(refused, err, config, at)
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case connecting && strings.Contains(err.Error(), "tls"):
		return fmt.Errorf("%w: TLS with %s: %w", ticketstore.ErrUnavailable, at, cause(err))
	case connecting && strings.Contains(err.Error(), "read only"):
		return fmt.Errorf("%w (%s)", errReplica, at)
	case connecting, network, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: no PostgreSQL answers at %s: %w", ticketstore.ErrUnavailable, at, cause(err))
	}
	return err
}

func explainRefusal(refused *pgconn.PgError, err error, config *pgx.ConnConfig, at string) error {
	switch refused.Code {
	case codeWrongPassword:
		return fmt.Errorf("%s refuses the password of %q: see dsn, dsn_file, password_file and passfile", at,
			config.User)
	case codeNotAdmitted:
		return fmt.Errorf("%s does not admit %q to %q: see its pg_hba.conf: %s", at, config.User,
			config.Database, refused.Message)
	case codeNoDatabase:
		return fmt.Errorf("%s has no database %q: create it, with the encoding UTF8", at, config.Database)
	case codeNoRight:
		return fmt.Errorf("%w: %q at %s: %s: run `sessions-postgres migrate -schema NAME -runtime-role "+
			"%[2]s` as the owner of the schema, or give the role CREATE on the database",
			errRights, config.User, at, refused.Message)
	case codeConnections:
		return fmt.Errorf("%w: %s has no connection to spare (max_connections): %s",
			ticketstore.ErrUnavailable, at, refused.Message)
	case codeDiskFull:
		return fmt.Errorf("%w: that of %s", ticketstore.ErrNoSpace, at)
	case codeReadOnly:
		return fmt.Errorf("%w (%s)", errReplica, at)
	case codeUnknownSetting:
		// A parameter of the DSN, or the role for a migration's grants: the message says which.
		return fmt.Errorf("%s does not know what dsn or runtime_role names: %s", at, refused.Message)
	case codeCancelled:
		return fmt.Errorf("%w: %s: %s: a statement_timeout of the role, the database or dsn is too short: "+
			"ALTER ROLE %q SET statement_timeout = '1min', or 0 for none", ticketstore.ErrUnavailable, at,
			refused.Message, config.User)
	case codeStarting, codeShuttingDown, codeCrashed:
		return fmt.Errorf("%w: %s: %s", ticketstore.ErrUnavailable, at, refused.Message)
	}
	return err
}

// cause returns why a connection failed, without pgx's summary of the configuration.
func cause(err error) error {
	if failed, ok := errors.AsType[*pgconn.ConnectError](err); ok && failed.Unwrap() != nil {
		return failed.Unwrap()
	}
	return err
}

// place returns the server's address.
func place(config *pgx.ConnConfig) string {
	hosts := []string{net.JoinHostPort(config.Host, fmt.Sprint(config.Port))}
	for _, f := range config.Fallbacks {
		if host := net.JoinHostPort(f.Host, fmt.Sprint(f.Port)); host != hosts[len(hosts)-1] {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",")
}
