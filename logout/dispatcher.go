package logout

// The Dispatcher: it claims due notifications and starts their deliveries (rule 7).

import (
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
	// leaseMargin is how much longer a claim's lease is than the delivery timeout: time to record the
	// outcome.
	leaseMargin = 5 * time.Second
	// storeTimeout bounds one call of the store.
	storeTimeout = 5 * time.Second
	// lookAgain is when to claim again after due notifications were passed over because their client was
	// busy.
	lookAgain = 250 * time.Millisecond
	// closeGrace is how long Close lets deliveries under way finish before it cuts them off.
	closeGrace = 5 * time.Second
)

// DispatcherConfig says how a Dispatcher works. Store, Signer and Clients are required.
type DispatcherConfig struct {
	Store   Store
	Signer  Signer
	Clients ClientSource
	// Issuers are those whose logout tokens the Signer signs. A notification of another issuer is not sent:
	// the store is not trusted (rule 13). Any issuer when empty.
	Issuers []string
	// AllowCIDRs are private, loopback and link-local networks to which logout tokens may be sent
	// nevertheless.
	AllowCIDRs []netip.Prefix
	// Timeout bounds one delivery, from looking up the client to the end of its answer.
	Timeout time.Duration
	// Concurrency bounds the deliveries under way, and PerClient those to one client.
	Concurrency int
	PerClient   int
	// Poll is how often to claim without a Wake: for work of another host or of an earlier run.
	Poll time.Duration
	// RetryBase is the backoff after the first failure. It doubles with each further one, up to RetryMost.
	RetryBase time.Duration
	RetryMost time.Duration
	// TellReason puts the notification's Reason into the logout token, as the claim logout_reason.
	TellReason bool
	// TLS configures connections to clients: a private authority (RootCAs), a certificate of the host's
	// (Certificates). It is cloned.
	TLS *tls.Config
	// Proxy returns the http or https proxy for a delivery, or nil for none, as http.Transport.Proxy does.
	// The client's host is looked up and checked here as without a proxy, and the proxy is asked to connect
	// (CONNECT) to the address that was found. Its own address is not checked. No proxy when nil.
	Proxy func(*http.Request) (*url.URL, error)
	// Settled, if set, is called with each notification whose outcome was recorded. It must not block.
	Settled func(notification *Notification, outcome Outcome)
	// Delivering, if set, is called before each delivery. Its context is that of the delivery, and what it
	// returns is called with the outcome. Neither may block.
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
	pauses   chan pausing
	closing  chan struct{}
	finished chan string // client ids of deliveries that are done
	done     chan struct{}
	running  sync.WaitGroup
	close    sync.Once
	closeErr error

	// base is the context of all deliveries; cut ends it.
	base context.Context
	cut  context.CancelFunc

	// What follows belongs to the goroutine of run.
	busy    map[string]int
	handed  handed
	total   int
	failing bool
	paused  []pausing
}

// pausing is one call of Pause.
type pausing struct {
	idle    chan struct{} // closed when nothing is under way
	resumed chan struct{} // closed by resume
}

// NewDispatcher starts a Dispatcher. Its error is a *ticketstore.FieldError for each wrong field. Call Close
// when done with it.
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
		pauses: make(chan pausing), closing: make(chan struct{}), done: make(chan struct{}),
		finished: make(chan string, config.Concurrency), busy: map[string]int{},
	}
	d.base, d.cut = context.WithCancel(context.Background())
	go d.run()
	return d, nil
}

func (c *DispatcherConfig) prepare() error {
	var errs []error
	for _, required := range []struct {
		field string
		set   bool
	}{{"store", c.Store != nil}, {"signer", c.Signer != nil}, {"clients", c.Clients != nil}} {
		if !required.set {
			errs = append(errs, ticketstore.Invalidf(required.field, "is not set"))
		}
	}
	for _, d := range []struct {
		field    string
		value    *time.Duration
		standard time.Duration
	}{
		{"timeout", &c.Timeout, DefaultTimeout}, {"poll", &c.Poll, DefaultPoll},
		{"retry_base", &c.RetryBase, DefaultRetryBase}, {"retry_most", &c.RetryMost, DefaultRetryMost},
	} {
		if *d.value < 0 {
			errs = append(errs, ticketstore.Invalidf(d.field, "is negative"))
		}
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	for _, n := range []struct {
		field    string
		value    *int
		standard int
	}{{"concurrency", &c.Concurrency, DefaultConcurrency}, {"per_client", &c.PerClient, DefaultPerClient}} {
		if *n.value < 0 || *n.value > ticketstore.MaxCount {
			errs = append(errs, ticketstore.Invalidf(n.field, "is outside 1 to %d", ticketstore.MaxCount))
		}
		if *n.value == 0 {
			*n.value = n.standard
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return errors.Join(errs...)
}

// Wake makes the Dispatcher claim now, because something was queued.
func (d *Dispatcher) Wake() {
	select {
	case d.wake <- struct{}{}:
	default: // a claim is due anyway
	}
}

// Pause stops claiming until resume is called, and returns when no delivery is under way, so that no claim is
// held. When ctx ends first it returns its error; the pause still lasts until resume.
func (d *Dispatcher) Pause(ctx context.Context) (resume func(), err error) {
	p := pausing{idle: make(chan struct{}), resumed: make(chan struct{})}
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

// resting reports whether there is a pause. It signals to the callers of Pause when no delivery is under way.
func (d *Dispatcher) resting() bool {
	d.paused = slices.DeleteFunc(d.paused, func(p pausing) bool {
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

// Close stops claiming, lets deliveries under way finish for a few seconds, cancels the rest, and returns
// when their outcomes have been recorded. What was not delivered stays in the queue. A Signer or ClientSource
// that ignores its context is not waited for, which is an error. It may be called again.
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

// within reports whether the channel is closed before the time has passed.
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
		if d.resting() {
			timer.Reset(d.config.Poll)
			continue
		}
		timer.Reset(d.takeWork())
	}
}

func (d *Dispatcher) release(client string) {
	d.total--
	if d.busy[client]--; d.busy[client] == 0 {
		delete(d.busy, client)
	}
}

// releaseAll releases all deliveries that have finished meanwhile, so that one claim replaces all of them.
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

// takeWork claims and starts what it can, and returns how long to wait for the next event.
func (d *Dispatcher) takeWork() time.Duration {
	for d.total < d.config.Concurrency {
		claimed, err := d.claim()
		if err != nil {
			return d.config.Poll
		}
		paced := false
		for _, work := range claimed.Deliveries {
			if often, first := d.handed.tooOften(work.ID); often {
				if paced = true; first {
					d.config.Logger.ErrorContext(d.base,
						"store hands out the same notification repeatedly: skipping it for a minute",
						"notification_id", work.ID, "client_id", work.ClientID)
				}
				continue
			}
			d.total++
			d.busy[work.ClientID]++
			d.running.Add(1)
			go func() {
				defer d.running.Done()
				d.deliver(&work)
				d.finished <- work.ClientID
			}()
		}
		if paced {
			return d.config.Poll
		}
		if len(claimed.Deliveries) == 0 || claimed.Next.After(d.now()) {
			return d.pause(claimed.Next) // nothing more is due now
		}
		d.releaseAll()
		select {
		case <-d.closing:
			return d.config.Poll
		default:
		}
	}
	return d.config.Poll // a delivery that finishes comes first
}

// claim claims up to Concurrency. Of a client with deliveries under way it takes at most what PerClient
// leaves.
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

// pause returns how long to wait for the notification that is due at next, at most until the next poll.
func (d *Dispatcher) pause(next time.Time) time.Duration {
	if next.IsZero() {
		return d.config.Poll
	}
	wait := next.Sub(d.now())
	if wait <= 0 {
		// It is due and was not handed out: its client is busy, or it fell due just now.
		wait = lookAgain
	}
	return min(wait, d.config.Poll)
}
