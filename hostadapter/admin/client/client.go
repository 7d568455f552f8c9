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
	// attempts is how often a request is sent at most.
	attempts = 4
	// firstPause is doubled from attempt to attempt, where the server does not say how long to wait.
	firstPause = 200 * time.Millisecond
	// longestPause is how long a server may have a client wait. Beyond that its answer is the result.
	longestPause = 30 * time.Second
	// maxAnswer bounds an answer in JSON: 1,000 sessions of 256 clients each are smaller.
	maxAnswer = 256 << 20
	// maxProblem bounds an answer that is no success.
	maxProblem = 64 << 10
)

// Secret is a bearer token. It prints as [redacted].
type Secret string

// Format keeps the secret out of every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// LogValue keeps it out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalText keeps it out of what is encoded.
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// Config says where the routes are. URL is required.
type Config struct {
	// URL is where the host mounts the admin routes: https://op.example/admin.
	URL string
	// Token is sent as a bearer token. It may be empty where HTTP authenticates.
	Token Secret
	// HTTP sends the requests, a client of its own by default. Its Timeout would bound backups as well:
	// prefer contexts.
	HTTP *http.Client
	// UserAgent is what the client calls itself.
	UserAgent string
	// PollEvery is the pause between two questions about a job, half a second by default.
	PollEvery time.Duration
}

// Client calls the admin routes of one server. It is safe for concurrent use.
type Client struct {
	base      string // without a slash at its end
	token     Secret
	http      *http.Client
	userAgent string
	pollEvery time.Duration
}

// New returns a client. A URL that is not an absolute http or https URL, or has more than a path, is an
// error.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.URL)
	switch {
	case err != nil:
		return nil, errors.New("client: URL cannot be parsed") // not why: it may have a password in it
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
	// The routes redirect nobody: a redirect leads elsewhere, and the token must not follow it.
	own := http.Client{}
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
	// safe: it may be sent again although an earlier one may have been carried out.
	safe bool
}

// do sends a request and decodes the answer.
func (c *Client) do(ctx context.Context, what call, into any) error {
	response, err := c.send(ctx, what)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if into == nil {
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/json" {
		return fmt.Errorf("client: %s %s: the answer is no JSON but %q: is the URL that of the admin routes?",
			what.method, what.path, kind)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("client: %s %s: reading the answer: %w", what.method, what.path, err)
	}
	return nil
}

// ask is do with an answer of its own.
func ask[Answer any](ctx context.Context, c *Client, what call) (*Answer, error) {
	answer := new(Answer)
	if err := c.do(ctx, what, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

// get asks for what is at a path.
func get[Answer any](ctx context.Context, c *Client, path string, query url.Values) (*Answer, error) {
	return ask[Answer](ctx, c, call{method: http.MethodGet, path: path, query: query, safe: true})
}

// send sends a request, again where that is safe, and returns a successful answer.
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

// retryAfter says whether a request that failed is sent again, and when. A change is, where the server
// refused to look at it (429), or where no connection came about.
func retryAfter(err error, attempt int, safe bool) (pause time.Duration, again bool) {
	pause = firstPause << (attempt - 1)
	pause += rand.N(pause / 2) //nolint:gosec // a pause is no secret
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

// IsNetwork reports whether the connection failed: no answer came, or not all of it.
func IsNetwork(err error) bool {
	var failed net.Error
	if errors.As(err, &failed) {
		_, alone := failed.(syscall.Errno) // as of a file that a backup is written to
		return !alone
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
