package client

// What a server refuses.

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

// Errors that a *Problem is compared with by errors.Is.
var (
	// ErrInvalid: a parameter or a field is wrong (400, 413, 415); Problem.Field names it.
	ErrInvalid = errors.New("client: the request is invalid")
	// ErrUnauthenticated: the token is missing or wrong (401).
	ErrUnauthenticated = errors.New("client: not authenticated")
	// ErrForbidden: the token does not permit this (403).
	ErrForbidden = errors.New("client: permission denied")
	// ErrNotFound: it is not known there (404), or the URL is not that of the routes.
	ErrNotFound = errors.New("client: not found")
	// ErrConflict: it cannot be now (409).
	ErrConflict = errors.New("client: it cannot be now")
	// ErrThrottled: there were too many wrong tokens (429).
	ErrThrottled = errors.New("client: throttled")
	// ErrUnavailable: the session store cannot be reached (502, 503, 504). A change may have been carried
	// out.
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

// Problem is an answer that is no success (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is for people.
	Detail string `json:"detail"`
	// Field is the query parameter, path variable or JSON field at fault. Empty where that is none.
	Field string `json:"field"`
	// RetryAfter is how long the server has its caller wait, 0 where it does not say.
	RetryAfter time.Duration `json:"-"`
}

// Error is the detail with its status.
func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s", p.Status, p.Title, cmp.Or(p.Detail, "the server does not say more"))
}

// Is compares with this package's errors.
func (p *Problem) Is(target error) bool { return errorsByStatus[p.Status] == target }

// problemOf reads an answer. One that is no problem, as of a proxy, has its status alone.
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
