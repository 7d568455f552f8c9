package logout

// The Dispatcher: claims due notifications and starts their deliveries (rule 7).

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Defaults of DispatcherConfig.
const (
	DefaultTimeout     = 10 * time.Second
	DefaultConcurrency = 64
	DefaultPerClient   = 4
	DefaultPoll        = time.Second
	DefaultRetryBase   = time.Second
	DefaultRetryMost   = 15 * time.Minute
)

const (
	// leaseMargin is how much longer the lease of a claim is than the delivery timeout: time to record the
	// outcome.
	leaseMargin = 5 * time.Second
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
	// busyDelay is the delay before claiming again when due notifications were skipped because their client
	// was busy.
	busyDelay = 250 * time.Millisecond
	// closeGrace is how long Close lets deliveries in flight finish before it cancels them.
	closeGrace = 5 * time.Second
)

// DispatcherConfig configures a Dispatcher. Store, Signer and Clients are required.
type DispatcherConfig struct {
	Store   Store
	Signer  Signer
	Clients ClientSource
	// Issuers are the issuers whose logout tokens the Signer signs. A notification of a different issuer is
	// not sent, because the store is not trusted (rule 13). If empty, any issuer is accepted.
	Issuers []string
	// AllowCIDRs are private, loopback and link-local networks to which logout tokens may be sent.
	AllowCIDRs []netip.Prefix
	// Timeout bounds one delivery, from looking up the client to the end of its response.
	Timeout time.Duration
	// Concurrency bounds the deliveries in flight, PerClient those to one client.
	Concurrency int
	PerClient   int
	// Poll is the interval between claims without a Wake: for work queued by another host or an earlier run.
	Poll time.Duration
	// RetryBase is the backoff after the first failure. It doubles after each further failure, up to
	// RetryMost.
	RetryBase time.Duration
	RetryMost time.Duration
	// TellReason puts the notification's Reason into the logout token, as the claim logout_reason.
	TellReason bool
	// TLS configures connections to clients, such as a private certificate authority (RootCAs) or the host's
	// client certificate (Certificates). It is cloned.
	TLS *tls.Config
	// Proxy returns the http or https proxy for a delivery, or nil for none, like http.Transport.Proxy. The
	// client's host name is resolved and checked here as without a proxy, and the proxy is asked to connect
	// (CONNECT) to the resolved address. The address of the proxy itself is not checked. Nil means no proxy.
	Proxy func(*http.Request) (*url.URL, error)
	// Settled, if set, is called with each notification whose outcome was recorded. It must not block.
	Settled func(notification *Notification, outcome Outcome)
	// Delivering, if set, is called before each delivery with the delivery's context and returns the context
	// to use. The function it returns is called with the outcome. Neither may block.
	Delivering func(ctx context.Context, delivery *Delivery) (context.Context, func(Outcome))
	// Now is the clock, time.Now by default.
	Now func() time.Time
	// Logger is slog.Default() by default.
	Logger *slog.Logger
}

// Dispatcher delivers notifications: it claims due ones from its Store, posts a logout token to each client,
// and records the outcome.
type Dispatcher struct {
	config DispatcherConfig
	http   *http.Client

	wake     chan struct{}
	pauses   chan pauseRequest
	closing  chan struct{}
	finished chan string // client ids of finished deliveries
	done     chan struct{}
	running  sync.WaitGroup
	close    sync.Once
	closeErr error

	// base is the context of all deliveries; cut cancels it.
	base context.Context
	cut  context.CancelFunc

	// The fields below are owned by the goroutine of run.
	busy     map[string]int
	handouts handouts
	total    int
	failing  bool
	paused   []pauseRequest
}

// pauseRequest is one call of Pause.
type pauseRequest struct {
	idle    chan struct{} // closed when no delivery is in flight
	resumed chan struct{} // closed by resume
}

// NewDispatcher starts a Dispatcher. Its error has a *ticketstore.FieldError for each invalid field. The
// caller must call Close.
func NewDispatcher(config DispatcherConfig) (*Dispatcher, error) {
	if err := config.prepare(); err != nil {
		return nil, err
	}
	guard, err := newGuard(config.AllowCIDRs)
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{
		config: config, http: newHTTPClient(&config, guard), wake: make(chan struct{}, 1),
		pauses: make(chan pauseRequest), closing: make(chan struct{}), done: make(chan struct{}),
		finished: make(chan string, config.Concurrency), busy: map[string]int{},
	}
	d.base, d.cut = context.WithCancel(context.Background())
	go d.run()
	return d, nil
}

// prepare validates the configuration and sets its defaults.
func (c *DispatcherConfig) prepare() error {
	var errs []error
	refuse := func(invalid bool, field, problem string, args ...any) {
		if invalid {
			errs = append(errs, ticketstore.Invalidf(field, problem, args...))
		}
	}
	refuse(c.Store == nil, "store", "is not set")
	refuse(c.Signer == nil, "signer", "is not set")
	refuse(c.Clients == nil, "clients", "is not set")
	refuse(c.Timeout < 0, "timeout", "is negative")
	refuse(c.Poll < 0, "poll", "is negative")
	refuse(c.RetryBase < 0, "retry_base", "is negative")
	refuse(c.RetryMost < 0, "retry_most", "is negative")
	outside := func(n int) bool { return n < 0 || n > ticketstore.MaxCount }
	refuse(outside(c.Concurrency), "concurrency", "is outside 1 to %d", ticketstore.MaxCount)
	refuse(outside(c.PerClient), "per_client", "is outside 1 to %d", ticketstore.MaxCount)
	c.Timeout, c.Poll = cmp.Or(c.Timeout, DefaultTimeout), cmp.Or(c.Poll, DefaultPoll)
	c.RetryBase, c.RetryMost = cmp.Or(c.RetryBase, DefaultRetryBase), cmp.Or(c.RetryMost, DefaultRetryMost)
	c.Concurrency = cmp.Or(c.Concurrency, DefaultConcurrency)
	c.PerClient = cmp.Or(c.PerClient, DefaultPerClient)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return errors.Join(errs...)
}

// Wake makes the Dispatcher claim now, because a notification was queued.
func (d *Dispatcher) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // a claim is already pending
	}
}

// Pause stops claiming until resume is called, and returns when no delivery is in flight, so that no claim is
// held. If ctx ends first it returns the error of ctx; the pause still lasts until resume.
func (d *Dispatcher) Pause(ctx context.Context) (resume func(), err error) {
	p := pauseRequest{idle: make(chan struct{}), resumed: make(chan struct{})}
	resume = sync.OnceFunc(func() { close(p.resumed); d.Wake() })
	select {
	case d.pauses <- p:
	case <-d.done:
		return resume, nil
	case <-ctx.Done():
		return resume, ctx.Err()
	}
	select {
	case <-p.idle:
	case <-d.done:
	case <-ctx.Done():
		return resume, ctx.Err()
	}
	return resume, nil
}

// checkPauses reports whether a pause is active. It signals the callers of Pause when no delivery is in
// flight.
func (d *Dispatcher) checkPauses() bool {
	d.paused = slices.DeleteFunc(d.paused, func(p pauseRequest) bool {
		select {
		case <-p.resumed:
			return true
		default:
			return false
		}
	})
	for _, p := range d.paused {
		select {
		case <-p.idle:
		default:
			if d.total == 0 {
				close(p.idle)
			}
		}
	}
	return len(d.paused) > 0
}

// Close stops claiming, lets deliveries in flight finish for a few seconds, cancels the rest, and returns
// when their outcomes are recorded. Undelivered notifications stay in the queue. Close does not wait for a
// Signer or ClientSource that ignores its context, and returns an error instead. Close is idempotent.
func (d *Dispatcher) Close() error {
	d.close.Do(func() {
		close(d.closing)
		<-d.done
		ended := make(chan struct{})
		go func() {
			d.running.Wait()
			close(ended)
		}()
		if !within(ended, closeGrace) {
			d.cut()
			if !within(ended, closeGrace+storeTimeout) {
				d.closeErr = errors.New("logout: a Signer or ClientSource ignores its context")
			}
		}
		d.cut()
		d.http.CloseIdleConnections()
	})
	return d.closeErr
}

// within reports whether the channel is closed before the limit has passed.
func within(ended <-chan struct{}, limit time.Duration) bool {
	select {
	case <-ended:
		return true
	case <-time.After(limit):
		return false
	}
}

func (d *Dispatcher) now() time.Time { return d.config.Now().UTC() }

// run claims due notifications and starts a goroutine for each delivery, within Concurrency.
func (d *Dispatcher) run() {
	defer close(d.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.closing:
			return
		case <-d.wake:
		case <-timer.C:
		case client := <-d.finished:
			d.release(client)
			d.releaseAll()
		case p := <-d.pauses:
			d.paused = append(d.paused, p)
		}
		if d.checkPauses() {
			timer.Reset(d.config.Poll)
			continue
		}
		timer.Reset(d.startDue())
	}
}

func (d *Dispatcher) release(client string) {
	d.total--
	if d.busy[client]--; d.busy[client] == 0 {
		delete(d.busy, client)
	}
}

// releaseAll releases all deliveries that have finished since, so that one claim replaces all of them.
func (d *Dispatcher) releaseAll() {
	for {
		select {
		case client := <-d.finished:
			d.release(client)
		default:
			return
		}
	}
}

// startDue claims and starts due deliveries, and returns how long to wait for the next event.
func (d *Dispatcher) startDue() time.Duration {
	for d.total < d.config.Concurrency {
		claimed, err := d.claim()
		if err != nil {
			return d.config.Poll
		}
		paced := false
		for _, work := range claimed.Deliveries {
			if exceeded, first := d.handouts.exceeded(work.ID); exceeded {
				if paced = true; first {
					d.config.Logger.ErrorContext(d.base,
						"store hands out the same notification repeatedly: skipping it for a minute",
						"notification_id", work.ID, "client_id", work.ClientID)
				}
				continue
			}
			d.total++
			d.busy[work.ClientID]++
			d.running.Go(func() {
				d.deliver(&work)
				d.finished <- work.ClientID
			})
		}
		if paced {
			return d.config.Poll
		}
		if len(claimed.Deliveries) == 0 || claimed.Next.After(d.now()) {
			return d.untilNext(claimed.Next) // nothing else is due
		}
		d.releaseAll()
		select {
		case <-d.closing:
			return d.config.Poll
		default:
		}
	}
	return d.config.Poll // a finished delivery wakes run earlier
}

// claim claims up to Concurrency. If any client has deliveries in flight, PerClient is reduced to the
// smallest number that a client has left.
func (d *Dispatcher) claim() (*ClaimResult, error) {
	claim := Claim{
		Limit: d.config.Concurrency - d.total, PerClient: d.config.PerClient,
		Lease: d.config.Timeout + leaseMargin,
	}
	for client, n := range d.busy {
		if n >= d.config.PerClient {
			claim.Busy = append(claim.Busy, client)
			continue
		}
		claim.PerClient = min(claim.PerClient, d.config.PerClient-n)
	}
	ctx, cancel := context.WithTimeout(d.base, storeTimeout)
	defer cancel()
	claimed, err := d.config.Store.Claim(ctx, claim, d.now())
	switch {
	case err != nil && !d.failing:
		d.config.Logger.ErrorContext(ctx, "cannot claim notifications, retrying", "error", err)
	case err == nil && d.failing:
		d.config.Logger.InfoContext(ctx, "claiming notifications again")
	}
	d.failing = err != nil
	return claimed, err
}

// untilNext returns how long to wait for the notification that is due at next, at most until the next poll.
func (d *Dispatcher) untilNext(next time.Time) time.Duration {
	if next.IsZero() {
		return d.config.Poll
	}
	wait := next.Sub(d.now())
	if wait <= 0 {
		// It is due but was not handed out: its client is busy, or it has just fallen due.
		wait = busyDelay
	}
	return min(wait, d.config.Poll)
}
