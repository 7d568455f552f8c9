package hostadapter_test

// Spans of the host's operations.

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// tracer records ended spans. This module does not depend on OpenTelemetry's SDK.
type tracer struct {
	noop.TracerProvider
	mu    sync.Mutex
	ended []*span
}

type span struct {
	noop.Span
	tracer     *tracer
	name       string
	start      time.Time
	failed     bool
	attributes []attribute.KeyValue
}

func (t *tracer) Tracer(string, ...trace.TracerOption) trace.Tracer { return starter{tracer: t} }

type starter struct {
	noop.Tracer
	tracer *tracer
}

func (s starter) Start(
	ctx context.Context, name string, options ...trace.SpanStartOption,
) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(options...)
	started := &span{tracer: s.tracer, name: name, start: config.Timestamp()}
	return trace.ContextWithSpan(ctx, started), started
}

func (s *span) SetStatus(code codes.Code, _ string) { s.failed = code == codes.Error }

func (s *span) SetAttributes(attributes ...attribute.KeyValue) {
	s.attributes = append(s.attributes, attributes...)
}

func (s *span) End(...trace.SpanEndOption) {
	s.tracer.mu.Lock()
	defer s.tracer.mu.Unlock()
	s.tracer.ended = append(s.tracer.ended, s)
}

func (t *tracer) named(name string) (list []*span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.ended {
		if s.name == name {
			list = append(list, s)
		}
	}
	return list
}

// Sweeps run twice a second. A sweep has a span only if it ends or purges something, or fails.
func TestEmptySweepsHaveNoSpan(t *testing.T) {
	t.Parallel()
	made := &tracer{}
	h := newHost(t, func(c *hostadapter.Config) {
		c.Telemetry.TracerProvider, c.Lifetime.IdleTimeout = made, time.Hour
		c.Expiry = hostadapter.ExpiryConfig{SweepEvery: 10 * time.Millisecond}
	})
	session := h.browser().signIn(hostadapter.Identity{Subject: "ann"})
	asked := h.backend.count("EndDue")
	testenv.Eventually(t, "some sweeps", func() bool { return h.backend.count("EndDue") >= asked+5 })
	if list := made.named("sweep"); len(list) > 0 {
		t.Errorf("%d empty sweeps have a span, want none", len(list))
	}
	before := time.Now()
	h.clock.advance(2 * time.Hour)
	h.gone(session.SessionID)
	testenv.Eventually(t, "the span of a sweep", func() bool { return len(made.named("sweep")) == 1 })
	if s := made.named("sweep")[0]; s.failed || s.start.IsZero() || s.start.Before(before.Add(-time.Minute)) {
		t.Errorf("it began at %s and failed: %t; want the moment of the first call, without failure", s.start,
			s.failed)
	}
	h.backend.fail("EndDue", fault{err: errors.New("wrong")})
	testenv.Eventually(t, "the span of a failed sweep", func() bool {
		list := made.named("sweep")
		return len(list) > 1 && list[1].failed
	})
}

// Endings and backups by users and operators have spans. A span names users only if SpanUser is set, and an
// invalid request does not mark it as failed.
func TestSpansOfEndings(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{false, true} {
		made := &tracer{}
		h := newHost(t, func(c *hostadapter.Config) {
			c.Telemetry.TracerProvider = made
			if named {
				c.Telemetry.SpanAttributes = []string{hostadapter.SpanUser}
			}
		})
		ctx, b := t.Context(), h.browser()
		own := b.signIn(hostadapter.Identity{Subject: "ann"})
		h.browser().signIn(hostadapter.Identity{Subject: "ann"})
		asked := func(name string, users int, run func() error) {
			t.Helper()
			if err := run(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			list := made.named(name)
			if len(list) != 1 || list[0].failed {
				t.Errorf("%s has %d spans, want one without failure", name, len(list))
				return
			}
			if !named {
				users = 0
			}
			if got := len(list[0].attributes); got != users {
				t.Errorf("%s has %d attributes, want %d (SpanUser: %t)", name, got, users, named)
			}
		}
		asked("end other sessions", 1, func() error { _, err := h.EndOtherSessions(ctx, own); return err })
		asked("remember consent", 1, func() error {
			return h.Consents().Remember(ctx, "ann", "shop", []string{"openid"}, 0)
		})
		asked("revoke consent", 1, func() error { return h.Consents().Revoke(ctx, "ann", "shop") })
		asked("delete user", 1, func() error { _, err := h.DeleteUser(ctx, "ann"); return err })
		asked("backup", 0, func() error { return h.Operations().Backup(ctx, io.Discard) })
		made.ended = slices.DeleteFunc(made.ended, func(s *span) bool { return s.name == "end own session" })
		asked("end own session", 1, func() error {
			if err := h.EndOwnSession(ctx, own, "none"); err == nil {
				t.Error("a missing session was ended")
			}
			return nil
		})
		asked("end session", 0, func() error {
			r := httptest.NewRequest(http.MethodGet, "/logout?id_token_hint=none", nil)
			h.EndSession().ServeHTTP(httptest.NewRecorder(), r)
			return nil
		})
	}
}
