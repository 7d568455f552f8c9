package client

// The client: configuration, requests, retries.

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	// attempts is the maximum number of attempts for a request.
	attempts = 4
	// firstPause doubles from attempt to attempt, unless the server says how long to wait.
	firstPause = 200 * time.Millisecond
	// longestPause bounds the wait that a server may request. If it requests more, its response is returned.
	longestPause = 30 * time.Second
	// answerTimeout is how long the default HTTP client waits for the headers of an answer.
	answerTimeout = 2 * time.Minute
	// maxAnswer bounds a JSON response, in bytes: 1,000 sessions of 256 clients each are smaller.
	maxAnswer = 256 << 20
	// maxProblem bounds an error response, in bytes.
	maxProblem = 64 << 10
)

// Secret is a bearer token. It prints as [redacted].
type Secret string

// Format prints [redacted] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue returns [redacted].
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText returns [redacted].
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Config configures a Client. URL is required.
type Config struct {
	// URL is the URL of the admin routes: https://op.example/admin.
	URL string
	// Token is sent as a bearer token. It may be empty if HTTP authenticates.
	Token Secret
	// HTTP sends the requests; the default is a client of its own, which waits two minutes for the headers
	// of an answer. A Timeout would also bound backups: prefer contexts.
	HTTP *http.Client
	// UserAgent is the User-Agent header.
	UserAgent string
	// PollEvery is the interval at which a job is polled, half a second by default.
	PollEvery time.Duration
}

// Client calls the admin routes of one server. It is safe for concurrent use.
type Client struct {
	base      string // without a trailing slash
	token     Secret
	http      *http.Client
	userAgent string
	pollEvery time.Duration
}

// New returns a client. It returns an error if the URL is not an absolute http or https URL, or has a query,
// a fragment or user info.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.URL)
	switch {
	case err != nil:
		return nil, errors.New("client: URL cannot be parsed") // the cause may contain a password
	case base.Scheme != "http" && base.Scheme != "https", base.Host == "":
		return nil, errors.New("client: URL must begin with https:// or http:// and a host")
	case base.User != nil, base.RawQuery != "", base.Fragment != "":
		return nil, errors.New("client: URL must have nothing besides scheme, host and path")
	case strings.ContainsAny(string(config.Token), "\r\n\x00"):
		return nil, errors.New("client: Token has a line break or a NUL in it")
	}
	c := &Client{
		base: strings.TrimSuffix(base.String(), "/"), token: config.Token,
		userAgent: cmp.Or(config.UserAgent, "fosite-sessions-client"),
		pollEvery: cmp.Or(config.PollEvery, 500*time.Millisecond),
	}
	// The routes never redirect. A redirect leads elsewhere, and the token must not follow it.
	own := http.Client{}
	if shared, ok := http.DefaultTransport.(*http.Transport); ok {
		bounded := shared.Clone()
		bounded.ResponseHeaderTimeout = answerTimeout
		own.Transport = bounded
	}
	if config.HTTP != nil {
		own = *config.HTTP
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &own
	return c, nil
}

// call is one request to the routes.
type call struct {
	method, path string
	query        url.Values
	body         any // sent as JSON unless nil
	// safe reports whether repeating the request is harmless even if an earlier attempt was executed.
	safe bool
}

// do sends a request and decodes the response.
func (c *Client) do(ctx context.Context, what call, into any) error {
	response, err := c.send(ctx, what)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if into == nil {
		return nil
	}
	if err := checkKind(response, what, "application/json"); err != nil {
		return err
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("client: %s %s: reading the answer: %w", what.method, what.path, err)
	}
	return nil
}

// checkKind refuses an answer of another media type: it is not from the admin routes.
func checkKind(response *http.Response, what call, want string) error {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind == want {
		return nil
	}
	return fmt.Errorf("client: %s %s: the answer is not %s but %q: is the URL that of the admin routes?",
		what.method, what.path, want, kind)
}

// ask is do with a new response value.
func ask[Answer any](ctx context.Context, c *Client, what call) (*Answer, error) {
	answer := new(Answer)
	if err := c.do(ctx, what, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

// get requests a path.
func get[Answer any](ctx context.Context, c *Client, path string, query url.Values) (*Answer, error) {
	return ask[Answer](ctx, c, call{method: http.MethodGet, path: path, query: query, safe: true})
}

// send sends a request, retrying it if that is safe, and returns a successful response.
func (c *Client) send(ctx context.Context, what call) (*http.Response, error) {
	var body []byte
	if what.body != nil {
		var err error
		if body, err = json.Marshal(what.body); err != nil {
			return nil, fmt.Errorf("client: %w", err)
		}
	}
	for attempt := 1; ; attempt++ {
		response, err := c.once(ctx, what, body)
		if err == nil {
			return response, nil
		}
		pause, again := retryAfter(err, attempt, what.safe)
		if !again || attempt == attempts || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

func (c *Client) once(ctx context.Context, what call, body []byte) (*http.Response, error) {
	target := c.base + what.path
	if len(what.query) > 0 {
		target += "?" + what.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, what.method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if what.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+string(c.token))
	}
	r.Header.Set("User-Agent", c.userAgent)
	response, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		defer func() { _ = response.Body.Close() }()
		return nil, problemOf(response)
	}
	return response, nil
}

// retryAfter reports whether a failed request is retried, and after which pause. A change is retried if the
// server refused it unseen (429) or no connection was established.
func retryAfter(err error, attempt int, safe bool) (pause time.Duration, again bool) {
	pause = firstPause << (attempt - 1)
	pause += rand.N(pause / 2) //nolint:gosec // jitter needs no secure randomness
	var problem *Problem
	var dial *net.OpError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return 0, false
	case errors.As(err, &problem):
		if problem.RetryAfter > 0 {
			pause = problem.RetryAfter
		}
		busy := problem.Status == http.StatusTooManyRequests
		lost := problem.Status == http.StatusServiceUnavailable || problem.Status == http.StatusBadGateway ||
			problem.Status == http.StatusGatewayTimeout
		return pause, (busy || lost && safe) && pause <= longestPause
	case errors.As(err, &dial) && dial.Op == "dial":
		return pause, true
	}
	return pause, safe && IsNetwork(err)
}

// IsNetwork reports whether the connection failed: there was no response, or only part of it.
func IsNetwork(err error) bool {
	if failed, ok := errors.AsType[net.Error](err); ok {
		_, alone := failed.(syscall.Errno) // such as an error of the file that a backup is written to
		return !alone
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
