package client

// Errors from error responses.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Errors that errors.Is matches with a *Problem.
var (
	// ErrInvalid means that a parameter or a field is invalid (400, 413, 415); Problem.Field names it.
	ErrInvalid = errors.New("client: the request is invalid")
	// ErrUnauthenticated means that the token is missing or wrong (401).
	ErrUnauthenticated = errors.New("client: not authenticated")
	// ErrForbidden means that the token lacks the permission (403).
	ErrForbidden = errors.New("client: permission denied")
	// ErrNotFound means that the target is unknown (404), or that the URL is not that of the admin routes.
	ErrNotFound = errors.New("client: not found")
	// ErrConflict means that the current state does not allow the request (409).
	ErrConflict = errors.New("client: conflict")
	// ErrThrottled means that there were too many wrong tokens (429).
	ErrThrottled = errors.New("client: throttled")
	// ErrUnavailable means that the session store is unavailable (502, 503, 504). A change may have been
	// carried out.
	ErrUnavailable = errors.New("client: unavailable")
)

var errorsByStatus = map[int]error{
	http.StatusBadRequest: ErrInvalid, http.StatusRequestEntityTooLarge: ErrInvalid,
	http.StatusUnsupportedMediaType: ErrInvalid,
	http.StatusUnauthorized:         ErrUnauthenticated, http.StatusForbidden: ErrForbidden,
	http.StatusNotFound: ErrNotFound, http.StatusConflict: ErrConflict,
	http.StatusTooManyRequests: ErrThrottled, http.StatusServiceUnavailable: ErrUnavailable,
	http.StatusBadGateway: ErrUnavailable, http.StatusGatewayTimeout: ErrUnavailable,
}

// Problem is an error response (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is the explanation for people.
	Detail string `json:"detail"`
	// Field is the query parameter, path variable or JSON field at fault, or "".
	Field string `json:"field"`
	// RetryAfter is how long the server asks its caller to wait, or 0.
	RetryAfter time.Duration `json:"-"`
}

// Error returns the detail with the status.
func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s", p.Status, p.Title, cmp.Or(p.Detail, "the server does not say more"))
}

// Is reports whether target is the package's error for the status.
func (p *Problem) Is(target error) bool { return errorsByStatus[p.Status] == target }

// problemOf decodes an error response. If it is not a problem, as from a proxy, only the status is set.
func problemOf(response *http.Response) error {
	p := &Problem{}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || !strings.HasSuffix(kind, "json") || json.Unmarshal(raw, p) != nil {
		*p = Problem{}
	}
	p.Status = response.StatusCode
	p.Title = cmp.Or(p.Title, http.StatusText(p.Status))
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(min(seconds, 1<<20)) * time.Second
	}
	return p
}
