package logout

// Tests of what an answer means for the notification (rule 7).

import (
	"strings"
	"testing"
	"time"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := &Dispatcher{config: DispatcherConfig{
		RetryBase: time.Minute, RetryMost: time.Hour, Now: func() time.Time { return now },
	}}
	for name, c := range map[string]struct {
		retryAfter string
		window     time.Duration // until it closes
		state      State
		most       time.Duration // until the next attempt; three fifths of it is the least
	}{
		"with backoff":                      {"", 24 * time.Hour, Pending, 75 * time.Second},
		"as the client asks":                {"600", 24 * time.Hour, Pending, 10 * time.Minute},
		"not before the backoff":            {"1", 24 * time.Hour, Pending, 75 * time.Second},
		"the last one as the window closes": {"", time.Second, Pending, time.Second},
		"asked for after the window":        {"600", time.Minute, Pending, time.Minute},
		"none at the moment when it closes": {"", 0, GivenUp, 0},
		"none after the window":             {"", -time.Second, GivenUp, 0},
	} {
		work := &Delivery{Notification: Notification{GiveUpAt: now.Add(c.window)}}
		out := d.outcome(work, attempt{state: Pending, retryAfter: c.retryAfter})
		next := out.NextAttempt.Sub(now)
		if out.NextAttempt.IsZero() {
			next = 0
		}
		if out.State != c.state || next > c.most || next < c.most*3/5 {
			t.Errorf("%s: %s, next in %s; want %s within %s", name, out.State, next, c.state, c.most)
		}
	}
}

// Only what has the form of a code of OAuth 2.0 is one: it ends the retries and is shown to operators.
func TestErrorCode(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("x", 64)
	for answer, want := range map[string]string{
		`{"error":"invalid_request"}`: "invalid_request", `{"error":"azAZ09-_."}`: "azAZ09-_.",
		`{"error":"` + longest + `"}`: longest, `{"error":"` + longest + `x"}`: "",
		`{"error":"a b"}`: "", `{"error":"<b>"}`: "", `{"error":"a\u0000"}`: "", `{"error":"a/b"}`: "",
		`{"error":"a:b"}`: "", `{"error":"a@b"}`: "", `{"error":"a[b"}`: "", "{\"error\":\"a`b\"}": "",
		`{"error":"a{b"}`: "", `{"error":7}`: "", `{}`: "", `<html>`: "", ``: "",
	} {
		if got := errorCode([]byte(answer)); got != want {
			t.Errorf("%s: code %q, want %q", answer, got, want)
		}
	}
}
