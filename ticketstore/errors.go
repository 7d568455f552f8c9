package ticketstore

// Errors that all stores share.

import (
	"errors"
	"fmt"
)

// Sentinel errors of every store in this project. Implementations wrap them with %w; callers use errors.Is.
// They keep their identity across the plugin's process boundary.
var (
	// ErrNotFound: nothing is stored under that key. It is never used for a store that could not be reached
	// (rule 4).
	ErrNotFound = errors.New("not found")
	// ErrExists: a record with the same key or id is already there.
	ErrExists = errors.New("already exists")
	// ErrConflict: the record has changed since the version that the caller read.
	ErrConflict = errors.New("changed meanwhile")
	// ErrExpired: the session is past its Expires or EndsAt and cannot be renewed, only ended.
	ErrExpired = errors.New("session has expired")
	// ErrTooManySessions: the subject has as many sessions as it may.
	ErrTooManySessions = errors.New("subject has too many sessions")
	// ErrTooManyClients: the session is used by as many clients as it may (MaxClients). Those clients can
	// still use it.
	ErrTooManyClients = errors.New("session has too many clients")
	// ErrInvalid: the request is wrong in itself; repeating it does not help. A *FieldError says which field.
	ErrInvalid = errors.New("invalid")
	// ErrResultsToken: a results token is malformed, or belongs to a query with another filter or order.
	ErrResultsToken = errors.New("results token does not fit")
	// ErrUnavailable: the store is unreachable, took too long, or is shutting down. It says nothing about the
	// record that was asked for.
	ErrUnavailable = errors.New("session store is unavailable")
	// ErrNoSpace: the store's disk is nearly full. The change was not written, and will not be until there is
	// space again. It is an ErrUnavailable.
	ErrNoSpace = fmt.Errorf("%w: its disk is nearly full", ErrUnavailable)
)

// FieldError is an ErrInvalid that names the field at fault and what is wrong with it. Problem never contains
// the value.
type FieldError struct {
	Field   string // name as in the request, in snake case: "subject_id"
	Problem string // what is wrong and what would be right: "is longer than 512 bytes"
}

// Error returns "invalid subject_id: is longer than 512 bytes".
func (e *FieldError) Error() string { return fmt.Sprintf("invalid %s: %s", e.Field, e.Problem) }

// Is makes errors.Is(err, ErrInvalid) hold, and errors.Is(err, ErrResultsToken) for the field results_token.
func (e *FieldError) Is(target error) bool {
	return target == ErrInvalid || (target == ErrResultsToken && e.Field == FieldResultsToken)
}

// FieldResultsToken is the field of an error about a results token.
const FieldResultsToken = "results_token"

// Invalidf returns a *FieldError.
func Invalidf(field, problem string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(problem, args...)}
}
