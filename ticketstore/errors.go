package ticketstore

// Errors shared by all stores.

import (
	"errors"
	"fmt"
)

// Sentinel errors of every store in this module. Implementations wrap them with %w; callers use errors.Is.
// They keep their identity across the plugin's process boundary.
var (
	// ErrNotFound: no record has that key. It is never returned for a store that could not be reached (rule
	// 4).
	ErrNotFound = errors.New("not found")
	// ErrExists: a record with the same key or id exists.
	ErrExists = errors.New("already exists")
	// ErrConflict: the record was changed after the version that the caller read.
	ErrConflict = errors.New("changed meanwhile")
	// ErrExpired: the session is past its Expires or EndsAt and cannot be renewed, only ended.
	ErrExpired = errors.New("session has expired")
	// ErrTooManySessions: the subject has reached its limit of sessions.
	ErrTooManySessions = errors.New("subject has too many sessions")
	// ErrTooManyClients: the session has reached its limit of clients (MaxClients). Its existing clients can
	// still use it.
	ErrTooManyClients = errors.New("session has too many clients")
	// ErrInvalid: the request is itself invalid; repeating it does not help. A *FieldError names the field.
	ErrInvalid = errors.New("invalid")
	// ErrResultsToken: a results token is malformed, or belongs to a query with another filter or order.
	ErrResultsToken = errors.New("results token does not fit")
	// ErrUnavailable: the store is unreachable, timed out, or is shutting down. It implies nothing about the
	// requested record.
	ErrUnavailable = errors.New("session store is unavailable")
	// ErrNoSpace: the store's disk is nearly full. The change was not written, and writes are refused until
	// space is freed. It is an ErrUnavailable.
	ErrNoSpace = fmt.Errorf("%w: its disk is nearly full", ErrUnavailable)
)

// FieldError is an ErrInvalid that names the field at fault and what is wrong with it. Problem never contains
// the value.
type FieldError struct {
	Field   string // name as in the request, in snake case: "subject_id"
	Problem string // what is wrong and what is required: "is longer than 512 bytes"
}

// Error returns "invalid subject_id: is longer than 512 bytes".
func (e *FieldError) Error() string { return fmt.Sprintf("invalid %s: %s", e.Field, e.Problem) }

// Is makes a FieldError match ErrInvalid, and ErrResultsToken if the field is results_token.
func (e *FieldError) Is(target error) bool {
	return target == ErrInvalid || (target == ErrResultsToken && e.Field == FieldResultsToken)
}

// FieldResultsToken is the field of an error about a results token.
const FieldResultsToken = "results_token"

// Invalidf returns a *FieldError.
func Invalidf(field, problem string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(problem, args...)}
}
