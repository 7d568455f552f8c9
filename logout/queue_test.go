package logout_test

// A queue in memory for the tests of the Dispatcher.

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// queue is the part of a logout.Store that a Dispatcher uses, in memory.
type queue struct {
	logout.Store // nil: other calls panic

	mu            sync.Mutex
	notifications map[string]*notification
	settled       int
	claimErr      error
	settleIn      int // number of calls of Settle that fail
}

type notification struct {
	logout.Notification
	claim uint64
	lease time.Time
}

func newQueue(notifications ...logout.Notification) *queue {
	q := &queue{notifications: map[string]*notification{}}
	for _, n := range notifications {
		q.add(n)
	}
	return q
}

func (q *queue) add(n logout.Notification) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notifications[n.ID] = &notification{Notification: n}
}

func (q *queue) Claim(_ context.Context, claim logout.Claim, now time.Time) (*logout.ClaimResult, error) {
	if err := claim.Validate(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.claimErr != nil {
		return nil, q.claimErr
	}
	all := make([]*notification, 0, len(q.notifications))
	for _, n := range q.notifications {
		if n.State == logout.Pending {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b *notification) int {
		return cmp.Or(a.NextAttempt.Compare(b.NextAttempt), cmp.Compare(a.ID, b.ID))
	})
	claimed, perClient := &logout.ClaimResult{}, map[string]int{}
	for _, n := range all {
		due := n.NextAttempt
		if n.lease.After(due) {
			due = n.lease
		}
		take := !due.After(now) && !slices.Contains(claim.Busy, n.ClientID) &&
			perClient[n.ClientID] < claim.PerClient &&
			len(claimed.Deliveries) < claim.Limit
		if take {
			n.claim++
			n.lease = now.Add(claim.Lease)
			due = n.lease
			perClient[n.ClientID]++
			claimed.Deliveries = append(claimed.Deliveries,
				logout.Delivery{Notification: n.Notification, Claim: n.claim})
		}
		if claimed.Next.IsZero() || due.Before(claimed.Next) {
			claimed.Next = due
		}
	}
	return claimed, nil
}

func (q *queue) Settle(
	_ context.Context, id string, claim uint64, outcome logout.Outcome, now time.Time,
) error {
	if err := outcome.Validate(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.settleIn > 0 {
		q.settleIn--
		return ticketstore.ErrUnavailable
	}
	n := q.notifications[id]
	if n.claim != claim {
		return logout.ErrOutdated
	}
	n.State, n.NextAttempt, n.LastError, n.LastAttempt = outcome.State, outcome.NextAttempt,
		outcome.LastError, now
	n.lease = time.Time{}
	n.Attempts++
	q.settled++
	return nil
}

func (q *queue) get(id string) logout.Notification {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.notifications[id].Notification
}

// wait polls until the notification meets the condition.
func (q *queue) wait(t *testing.T, id, what string, ok func(logout.Notification) bool) logout.Notification {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("notification %s is %s", id, what), func() bool {
		return ok(q.get(id))
	})
	return q.get(id)
}

func (q *queue) waitState(t *testing.T, id string, state logout.State) logout.Notification {
	t.Helper()
	return q.wait(t, id, string(state), func(n logout.Notification) bool { return n.State == state })
}

func (q *queue) waitAttempts(t *testing.T, id string, attempts int) logout.Notification {
	t.Helper()
	return q.wait(t, id, fmt.Sprintf("tried %d times", attempts), func(n logout.Notification) bool {
		return n.Attempts >= attempts
	})
}

// due returns a notification that is due now.
func due(id, client string) logout.Notification {
	now := time.Now().UTC()
	return logout.Notification{
		ID: id, Issuer: "https://op.example", ClientID: client, SubjectID: "alice", SessionID: "sid-1",
		Reason: logout.Terminated,
		State:  logout.Pending, Queued: now, NextAttempt: now, GiveUpAt: now.Add(logout.RetryWindow),
	}
}

// plainSigner makes tokens that are readable in tests: base64 of the claims between dots.
type plainSigner struct{ err error }

func (s plainSigner) Sign(_ context.Context, claims []byte) (string, error) {
	return "h." + base64.RawURLEncoding.EncodeToString(claims) + ".s", s.err
}

type claims struct {
	Issuer   string         `json:"iss"`
	Subject  *string        `json:"sub"`
	Audience string         `json:"aud"`
	IssuedAt int64          `json:"iat"`
	Expires  int64          `json:"exp"`
	ID       string         `json:"jti"`
	Session  string         `json:"sid"`
	Nonce    *string        `json:"nonce"`
	Events   map[string]any `json:"events"`
	Reason   string         `json:"logout_reason"`
}

// relyingParty is a client's server. It records requests and answers as configured.
type relyingParty struct {
	*httptest.Server
	mu     sync.Mutex
	tokens []claims
	last   *http.Request
}

func newRelyingParty(
	t *testing.T, answer func(w http.ResponseWriter, r *http.Request, attempt int),
) *relyingParty {
	t.Helper()
	rp := &relyingParty{}
	rp.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c claims
		parts := strings.Split(r.PostFormValue("logout_token"), ".")
		if len(parts) == 3 {
			raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
			if err := json.Unmarshal(raw, &c); err != nil {
				t.Errorf("claims cannot be decoded: %v", err)
			}
		}
		rp.mu.Lock()
		rp.tokens = append(rp.tokens, c)
		rp.last = r
		attempt := len(rp.tokens)
		rp.mu.Unlock()
		answer(w, r, attempt)
	}))
	t.Cleanup(rp.Close)
	return rp
}

func (rp *relyingParty) received() []claims {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	return slices.Clone(rp.tokens)
}

func (rp *relyingParty) client(id string) logout.Client {
	return logout.Client{ClientID: id, BackChannelLogoutURI: rp.URL + "/logout"}
}

func status(code int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(code) }
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// start runs a dispatcher with short delays until the test ends.
func start(
	t *testing.T, q *queue, clients logout.ClientMap, change ...func(*logout.DispatcherConfig),
) *logout.Dispatcher {
	t.Helper()
	config := logout.DispatcherConfig{
		Store: q, Signer: plainSigner{}, Clients: clients, AllowCIDRs: loopback, Poll: 20 * time.Millisecond,
		RetryBase: 5 * time.Millisecond, RetryMost: 20 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&config)
	}
	d, err := logout.NewDispatcher(config)
	if err != nil {
		t.Fatalf("NewDispatcher: %v", err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// once limits a notification to one attempt: after a failure it is not due again for a long time.
func once(config *logout.DispatcherConfig) { config.RetryBase, config.RetryMost = time.Hour, time.Hour }
