package client_test

// Configuration, retries, problems. integration/contract tests the methods on a real host.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
)

// script answers requests in order and records their times.
type script struct {
	answers []answer
	sent    []time.Time
	last    *http.Request
}

type answer struct {
	status     int
	retryAfter string
	kind, body string
	err        error
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.last = r
	next := s.answers[min(len(s.sent), len(s.answers)-1)]
	s.sent = append(s.sent, time.Now())
	if next.err != nil {
		return nil, next.err
	}
	response := &http.Response{
		StatusCode: next.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(next.body)),
		Request: r,
	}
	response.Header.Set("Content-Type", "application/json")
	if next.kind != "" {
		response.Header.Set("Content-Type", next.kind)
	}
	if next.retryAfter != "" {
		response.Header.Set("Retry-After", next.retryAfter)
	}
	return response, nil
}

func newClient(t *testing.T, s *script) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{
		URL: "https://op.example/admin/", Token: "the-token", HTTP: &http.Client{Transport: s},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const ready = `{"status":"ready","services":[],"shared":false}`

var (
	lost    = answer{status: http.StatusServiceUnavailable, retryAfter: "5", body: `{}`}
	refused = answer{err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}
	cut     = answer{err: io.ErrUnexpectedEOF}
)

// Safe requests are retried, after the time that the server requests; changes only if they had no effect.
func TestRetries(t *testing.T) {
	t.Parallel()
	read := func(ctx context.Context, c *client.Client) error { _, err := c.Backend(ctx); return err }
	change := func(ctx context.Context, c *client.Client) error {
		_, _, err := c.RemoveSessions(ctx, client.Removal{SubjectID: "ann"})
		return err
	}
	dry := func(ctx context.Context, c *client.Client) error {
		_, _, err := c.RemoveSessions(ctx, client.Removal{SubjectID: "ann", DryRun: true})
		return err
	}
	ok := answer{status: http.StatusOK, body: ready}
	for name, test := range map[string]struct {
		do      func(context.Context, *client.Client) error
		answers []answer
		sent    int
		waited  time.Duration // at least
		want    error
	}{
		"a read, store unavailable":   {read, []answer{lost, ok}, 2, 5 * time.Second, nil},
		"a read, answer truncated":    {read, []answer{cut, cut, ok}, 3, 600 * time.Millisecond, nil},
		"a read, still unavailable":   {read, []answer{lost}, 4, 15 * time.Second, client.ErrUnavailable},
		"a change, store unavailable": {change, []answer{lost, ok}, 1, 0, client.ErrUnavailable},
		"a change, answer truncated":  {change, []answer{cut, ok}, 1, 0, io.ErrUnexpectedEOF},
		"a change that was not sent":  {change, []answer{refused, ok}, 2, 200 * time.Millisecond, nil},
		"a dry run":                   {dry, []answer{lost, cut, ok}, 3, 5 * time.Second, nil},
		"a throttled change": {
			change, []answer{{status: http.StatusTooManyRequests, retryAfter: "20"}, ok}, 2,
			20 * time.Second, nil,
		},
		"a server with a long Retry-After": {
			read, []answer{{status: http.StatusServiceUnavailable, retryAfter: "3600"}, ok}, 1, 0,
			client.ErrUnavailable,
		},
		"a wrong token": {
			read, []answer{{status: http.StatusUnauthorized}}, 1, 0, client.ErrUnauthenticated,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: test.answers}
				err := test.do(t.Context(), newClient(t, s))
				if !errors.Is(err, test.want) || len(s.sent) != test.sent {
					t.Errorf("error %v after %d requests, want %v after %d", err, len(s.sent), test.want,
						test.sent)
				}
				waited := s.sent[len(s.sent)-1].Sub(s.sent[0])
				if waited < test.waited || waited > test.waited+3*time.Second {
					t.Errorf("waited %v, want about %v", waited, test.waited)
				}
			})
		})
	}
}

// A context ends the wait for the next attempt; the error wraps both errors.
func TestContextEndsRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := newClient(t, &script{answers: []answer{lost}}).Backend(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("error %v, want the deadline and the server's error", err)
		}
	})
}

func TestProblems(t *testing.T) {
	t.Parallel()
	body := `{"type":"about:blank","title":"Bad Request","status":400,"detail":"order is wrong.",` +
		`"field":"order"}`
	s := &script{answers: []answer{
		{status: http.StatusBadRequest, kind: "application/problem+json", body: body},
	}}
	_, err := newClient(t, s).Backend(t.Context())
	var problem *client.Problem
	if !errors.As(err, &problem) || problem.Field != "order" || !errors.Is(err, client.ErrInvalid) ||
		errors.Is(err, client.ErrNotFound) || err.Error() != "400 Bad Request: order is wrong." {
		t.Errorf("error %v, %+v; want a problem of the field order", err, problem)
	}
	if got := s.last.Header.Get("Authorization"); got != "Bearer the-token" {
		t.Errorf("Authorization %q", got)
	}
	// A proxy's page, a redirect and HTML are errors that name the cause.
	for status, want := range map[int]string{
		404: "404 Not Found", 302: "302 Found", 200: "not application/json",
	} {
		s := &script{answers: []answer{{status: status, kind: "text/html", body: "<html>"}}}
		_, err := newClient(t, s).Backend(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: error %v, want %q", status, err, want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "op.example", "ftp://op.example", "https://", "https://a:b@op.example",
		"https://op.example/?x=1", "https://op.example/#x", "http://[::1"} {
		if _, err := client.New(client.Config{URL: bad}); err == nil {
			t.Errorf("URL %q was accepted", bad)
		} else if strings.Contains(err.Error(), "a:b") {
			t.Errorf("the error %q shows a password", err)
		}
	}
	if _, err := client.New(client.Config{URL: "https://op.example", Token: "a\nb"}); err == nil {
		t.Error("a token with a line break was accepted")
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	t.Parallel()
	config := client.Config{Token: "the-token"}
	var log bytes.Buffer
	token := config.Token
	slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "x", "config", config, "token", token)
	raw, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %q %x", config, config, config, token, token, token)
	for _, said := range []string{text, log.String(), string(raw)} {
		if strings.Contains(said, "the-token") {
			t.Errorf("the token is in %s", said)
		}
	}
}

// The sign-in page of a proxy is not a backup.
func TestBackupOfAnotherKind(t *testing.T) {
	t.Parallel()
	var written strings.Builder
	c := newClient(t, &script{answers: []answer{{
		status: http.StatusOK, kind: "text/html", body: "<h1>Sign in</h1>",
	}}})
	if _, err := c.Backup(t.Context(), &written); err == nil || written.Len() > 0 {
		t.Errorf("a page: error %v and %q written, want only an error", err, written.String())
	}
	c = newClient(t, &script{answers: []answer{
		{status: http.StatusOK, kind: "application/octet-stream", body: "records"},
	}})
	if size, err := c.Backup(t.Context(), &written); err != nil || size != 7 ||
		written.String() != "records" {
		t.Errorf("a backup: %d bytes, %q, %v", size, written.String(), err)
	}
}
