package wire

// The table of errors: the gRPC status of each sentinel, used both ways.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// errorDomain is the domain of the ErrorInfo that identifies an error.
const errorDomain = "fosite-sessions"

// maxErrorText bounds the texts in a plugin's error, in bytes.
const maxErrorText = 4 << 10

// maxFields bounds the field violations of one error.
const maxFields = 16

// Errors of the protocol itself.
var (
	// ErrNotConfigured means that a call came before Configure.
	ErrNotConfigured = errors.New("plugin is not configured: call Configure first")
	// ErrConfigured means that Configure was called again.
	ErrConfigured = errors.New("plugin is configured already")
	// ErrUnreached marks an ErrUnavailable that no backend has returned: the call did not reach one.
	ErrUnreached = fmt.Errorf("%w: it was not reached", ticketstore.ErrUnavailable)
	// ErrNotOpened means that the backend cannot be opened, for a reason that an operator must read.
	ErrNotOpened = errors.New("backend cannot be opened")
)

// errorTable maps each sentinel to a status, both ways. For an error that wraps several, the first match
// wins: a fenced store before an unavailable one, an unavailable store before everything else (rule 4), a
// results token before an invalid request.
var errorTable = []struct {
	sentinel error
	code     codes.Code
	reason   string
}{
	{transfer.ErrFenced, codes.Unavailable, "FENCED"},
	{ticketstore.ErrNoSpace, codes.Unavailable, "NO_SPACE"},
	{ticketstore.ErrUnavailable, codes.Unavailable, "UNAVAILABLE"},
	{ticketstore.ErrResultsToken, codes.InvalidArgument, "RESULTS_TOKEN"},
	{ticketstore.ErrInvalid, codes.InvalidArgument, "INVALID"},
	{ticketstore.ErrNotFound, codes.NotFound, "NOT_FOUND"},
	{ticketstore.ErrExists, codes.AlreadyExists, "ALREADY_EXISTS"},
	{ticketstore.ErrConflict, codes.Aborted, "CONFLICT"},
	{ticketstore.ErrExpired, codes.FailedPrecondition, "SESSION_EXPIRED"},
	{ticketstore.ErrTooManySessions, codes.FailedPrecondition, "TOO_MANY_SESSIONS"},
	{ticketstore.ErrTooManyClients, codes.FailedPrecondition, "TOO_MANY_CLIENTS"},
	{grantstore.ErrConsumed, codes.FailedPrecondition, "CONSUMED"},
	{grantstore.ErrSessionEnded, codes.FailedPrecondition, "SESSION_ENDED"},
	{logout.ErrOutdated, codes.FailedPrecondition, "CLAIM_OUTDATED"},
	{transfer.ErrState, codes.FailedPrecondition, "STATE"},
	{transfer.ErrNotEmpty, codes.FailedPrecondition, "NOT_EMPTY"},
	{transfer.ErrHosts, codes.FailedPrecondition, "OTHER_HOSTS"},
	{transfer.ErrJournal, codes.FailedPrecondition, "JOURNAL"},
	{logout.ErrBusy, codes.FailedPrecondition, "BUSY"},
	{ErrNotConfigured, codes.FailedPrecondition, "NOT_CONFIGURED"},
	{ErrConfigured, codes.FailedPrecondition, "CONFIGURED"},
	{ErrNotOpened, codes.FailedPrecondition, "NOT_OPENED"},
	{ticketstore.ErrOtherStore, codes.FailedPrecondition, "OTHER_STORE"},
}

// storeIDEntry is the metadata key of an ErrOtherStore with the id of the store that was found.
const storeIDEntry = "store_id"

// Status returns the gRPC error for an engine's error. Only the identity of a known error and the texts of a
// *ticketstore.FieldError are sent: an engine's other texts may contain keys. known is false for an error
// that is sent as internal.
func Status(err error) (st error, known bool) {
	return statusOf(err, func(s error) string { return s.Error() })
}

// ConfigureStatus is Status for Configure: it sends the whole text, because an operator must read what is
// wrong with settings and files.
func ConfigureStatus(err error) error {
	text := func(error) string { return truncate(err.Error()) }
	st, known := statusOf(err, text)
	if !known {
		st, _ = statusOf(ErrNotOpened, text)
	}
	return st
}

func statusOf(err error, text func(sentinel error) string) (error, bool) {
	for _, row := range errorTable {
		if errors.Is(err, row.sentinel) {
			st := status.New(row.code, text(row.sentinel))
			info := &errdetails.ErrorInfo{Domain: errorDomain, Reason: row.reason}
			if other, ok := errors.AsType[*ticketstore.OtherStoreError](err); ok && other.Found != "" {
				info.Metadata = map[string]string{storeIDEntry: other.Found}
			}
			if row.code == codes.InvalidArgument {
				return withDetails(st, info, fieldErrors(err, nil)), true
			}
			return withDetails(st, info, nil), true
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "canceled"), true
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "deadline exceeded"), true
	}
	return status.Error(codes.Internal, "internal error: the plugin's log has it"), false
}

// fieldErrors collects every *ticketstore.FieldError in err: settings may have several faults.
func fieldErrors(err error, found []*ticketstore.FieldError) []*ticketstore.FieldError {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case *ticketstore.FieldError:
		return append(found, e)
	case interface{ Unwrap() error }:
		return fieldErrors(e.Unwrap(), found)
	case interface{ Unwrap() []error }:
		for _, each := range e.Unwrap() {
			found = fieldErrors(each, found)
		}
	}
	return found
}

func withDetails(st *status.Status, info *errdetails.ErrorInfo, fields []*ticketstore.FieldError) error {
	details := []protoadapt.MessageV1{info}
	if len(fields) > 0 {
		request := &errdetails.BadRequest{}
		for _, field := range fields[:min(len(fields), maxFields)] {
			violation := &errdetails.BadRequest_FieldViolation{
				Field: truncate(field.Field), Description: truncate(field.Problem),
			}
			request.FieldViolations = append(request.FieldViolations, violation)
		}
		details = append(details, request)
	}
	detailed, err := st.WithDetails(details...)
	if err != nil {
		return status.Error(codes.Internal, "internal error: its details cannot be sent")
	}
	return detailed.Err()
}

// Error returns the domain's error for a gRPC error: errors.Is and errors.As work on it as in the plugin. A
// status code without our ErrorInfo becomes only ErrUnavailable or a context error: a bare NotFound means a
// broken plugin, not a missing record (rule 4).
func Error(err error) error {
	st, ok := status.FromError(err)
	if !ok {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &statusError{text: "connection lost", is: ErrUnreached}
		}
		return err
	}
	var sentinel error
	var fields []error
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			sentinel = lookUp(d, st.Code())
			if sentinel == ticketstore.ErrOtherStore { //nolint:errorlint // it is from the table
				return &ticketstore.OtherStoreError{Found: truncate(d.GetMetadata()[storeIDEntry])}
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations()[:min(len(d.GetFieldViolations()), maxFields)] {
				fields = append(fields, &ticketstore.FieldError{
					Field: truncate(v.GetField()), Problem: truncate(v.GetDescription()),
				})
			}
		}
	}
	return domainError(st, sentinel, fields)
}

func domainError(st *status.Status, sentinel error, fields []error) error {
	switch {
	case len(fields) == 1 && sentinel != nil && errors.Is(fields[0], sentinel):
		return fields[0]
	case len(fields) > 1 && sentinel != nil && errors.Is(fields[0], sentinel):
		return errors.Join(fields...)
	case sentinel != nil && st.Message() == sentinel.Error():
		return sentinel
	case sentinel != nil:
		return &statusError{text: truncate(st.Message()), is: sentinel}
	}
	switch st.Code() {
	case codes.Unavailable:
		return &statusError{text: truncate(st.Message()), is: ErrUnreached}
	case codes.Canceled:
		return &statusError{text: truncate(st.Message()), is: context.Canceled}
	case codes.DeadlineExceeded:
		return &statusError{text: truncate(st.Message()), is: context.DeadlineExceeded}
	}
	return &statusError{text: "plugin answered " + st.Code().String() + ": " + truncate(st.Message())}
}

func lookUp(info *errdetails.ErrorInfo, code codes.Code) error {
	for _, row := range errorTable {
		if info.GetDomain() == errorDomain && info.GetReason() == row.reason && code == row.code {
			return row.sentinel
		}
	}
	return nil
}

// statusError has the text of a status and, if known, the identity of a sentinel.
type statusError struct {
	text string
	is   error
}

func (e *statusError) Error() string {
	if e.is == nil || strings.Contains(e.text, e.is.Error()) {
		return e.text
	}
	return e.is.Error() + ": " + e.text
}

func (e *statusError) Unwrap() error { return e.is }

// truncate truncates a text to maxErrorText bytes of valid UTF-8.
func truncate(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return strings.ToValidUTF8(text, "?")
}
