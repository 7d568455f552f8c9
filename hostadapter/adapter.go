package hostadapter

// The Adapter: how it starts, what it checks of its backend, how it ends.

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/hostadapter/internal/tie"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/loglimit"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// describeTimeout bounds the question that New asks of the backend.
const describeTimeout = 30 * time.Second

// Adapter manages the sessions of a host's users. It is safe for concurrent use.
type Adapter struct {
	config     Config
	ring       *keyRing
	dispatcher *logout.Dispatcher
	// description is what the backend said of itself last.
	description atomic.Pointer[ticketstore.Description]
	// backends is what config.Backend is in use; swaps is what changes it.
	backends *backendSwitch
	swaps    swaps
	// pinned belongs to the start, and after it to the swap that runs.
	pinned pinned

	sliding   sliding
	missing   missingKeys
	unopened  loglimit.Texts
	signOuts  loglimit.Lines // those that failed
	redirects loglimit.Lines // those that were not made
	events    *eventStream
	tracing   tracing
	metrics   *metrics
	// due is when the next session falls due as the last sweep found it, in Unix nanoseconds; 0: unknown.
	due       atomic.Int64
	stop      context.CancelFunc
	sweeping  sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// New starts an Adapter: it delivers pending notifications and ends sessions that fall due. Its error names
// every field of the configuration that is wrong. ctx bounds the start only. Call Close when done with it.
func New(ctx context.Context, config Config) (*Adapter, error) {
	if err := config.prepare(); err != nil {
		return nil, err
	}
	ring, err := newKeyRing(config.Keys)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: %w", err)
	}
	// What was derived from them is all that is needed from here on.
	config.Keys = nil
	a := &Adapter{
		config: config, ring: ring, swaps: swaps{closing: make(chan struct{})},
		tracing: newTracing(&config.Telemetry),
	}
	if err := a.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("hostadapter: %w", err), a.metrics.close(), a.closeOpened())
	}
	return a, nil
}

// start opens the backend, claims it and begins what runs in the background.
func (a *Adapter) start(ctx context.Context) (err error) {
	if err := a.loadPins(ctx); err != nil {
		return err
	}
	if err := a.openBackend(ctx); err != nil {
		return err
	}
	describing, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	if err := a.checkBackend(describing); err != nil {
		return err
	}
	if err := a.claim(describing); err != nil {
		return err
	}
	if err := a.pin(ctx); err != nil {
		return err
	}
	a.warnOfLimits(ctx)
	if a.metrics, err = a.newMetrics(a.config.Telemetry.MeterProvider); err != nil {
		return fmt.Errorf("Config.Telemetry.MeterProvider: %w", err)
	}
	a.backends.metrics = a.metrics
	a.events = newEventStream(a.config.Events, a.config.Logger)
	a.events.metrics = a.metrics
	if a.dispatcher, err = logout.NewDispatcher(a.dispatcherConfig()); err != nil {
		a.events.close()
		return fmt.Errorf("Config.Logout: %w", err)
	}
	a.startSweeping()
	a.inBackground(a.followSwaps)
	return nil
}

func (a *Adapter) dispatcherConfig() logout.DispatcherConfig {
	c := a.config
	return logout.DispatcherConfig{
		Store: c.Backend.Logout(), Signer: c.Signer, Clients: c.Clients,
		Issuers: append([]string{c.Issuer}, c.FormerIssuers...), AllowCIDRs: c.Logout.AllowCIDRs,
		TellReason: c.Logout.TellReason, TLS: c.Logout.DeliveryTLS, Proxy: c.Logout.DeliveryProxy,
		Timeout: c.Logout.DeliveryTimeout, Concurrency: c.Logout.DeliveryConcurrency,
		PerClient: c.Logout.DeliveriesPerClient, Now: c.Now, Logger: c.Logger,
		Settled: a.settled, Delivering: a.delivering,
	}
}

// checkBackend refuses a backend that does not serve all that a host needs. One that says nothing about it is
// taken at its type.
func (a *Adapter) checkBackend(ctx context.Context) error {
	description, err := a.config.Backend.Describe(ctx)
	if err != nil {
		return fmt.Errorf("asking the backend what it is: %w", err)
	}
	a.description.Store(&description)
	return checkServices(&description)
}

// checkServices refuses a backend that lacks what no host can do without, and names all of it.
func checkServices(description *ticketstore.Description) error {
	if len(description.Services) == 0 {
		return nil
	}
	var lacks []string
	for _, service := range []string{"tickets", "grants", "logout", ticketstore.PropertiesService} {
		if !slices.Contains(description.Services, service) {
			lacks = append(lacks, service)
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("backend %q does not serve %s", description.Name, strings.Join(lacks, ", "))
	}
	return nil
}

// limitsOf says, for an operator, what will not work with a backend.
func limitsOf(description *ticketstore.Description) (limits []string) {
	if !slices.Contains(description.Services, transfer.Service) {
		limits = append(limits,
			"it does not serve "+transfer.Service+": it can be neither swapped nor backed up while it serves")
	}
	if description.StoreID == "" {
		limits = append(limits,
			"its data does not outlive its process: a crash of it loses all sessions, and a newer program "+
				"cannot take its place")
	}
	return limits
}

// warnOfLimits logs them, once for each backend that comes to serve.
func (a *Adapter) warnOfLimits(ctx context.Context) {
	description := a.description.Load()
	for _, limit := range limitsOf(description) {
		a.config.Logger.WarnContext(ctx, "backend has a limit", "backend", description.Name, "limit", limit)
	}
}

// noteServing asks a backend that has just come to serve for its description, for BackendStatus.
func (a *Adapter) noteServing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if err := a.checkBackend(ctx); err != nil {
		a.config.Logger.WarnContext(ctx, "the backend that serves now could not be described", "error", err)
		return
	}
	a.warnOfLimits(ctx)
}

// Ready reports whether sessions can be served: nil, or why not, such as a swap of another host that this one
// cannot follow. It suits a readiness probe. A backend that refuses some changes, because its disk is nearly
// full, is ready for all others: BackendStatus has its Trouble.
func (a *Adapter) Ready(ctx context.Context) error {
	if err := a.checkServing(ctx); err != nil {
		return fmt.Errorf("hostadapter: %w", err)
	}
	return nil
}

// checkServing is checkBackend of a host that may have to follow another one's swap.
func (a *Adapter) checkServing(ctx context.Context) error {
	if err := a.backends.trouble(); err != nil {
		return err
	}
	return a.checkBackend(ctx)
}

// Close aborts a swap or a backup, stops the sweeps and waits, bounded, for deliveries under way.
// Config.Backend stays open: its opener closes it afterwards. Calling it again returns what the first call
// did.
func (a *Adapter) Close() error {
	a.closeOnce.Do(func() {
		a.stopSwapping()
		a.stop()
		a.sweeping.Wait()
		a.closeErr = errors.Join(a.metrics.close(), a.dispatcher.Close(), a.closeOpened())
		a.events.close()
	})
	return a.closeErr
}

// Backend returns the backend in use. It stays valid through swaps.
func (a *Adapter) Backend() sessions.Backend { return a.config.Backend }

// RemoteAddr returns the address that a request came from, by Config.RemoteAddr.
func (a *Adapter) RemoteAddr(r *http.Request) string { return a.config.RemoteAddr(r) }

func (a *Adapter) now() time.Time { return a.config.Now().UTC() }

// unseal opens what was sealed with any of Config.Keys. What cannot be opened is ErrSealed, and is logged,
// the same once a minute at most.
func (a *Adapter) unseal(purpose string, id, sealed []byte) ([]byte, error) {
	plaintext, err := a.ring.unseal(purpose, id, sealed)
	a.reportSealed(purpose, err)
	return plaintext, err
}

// unsealBound opens what was sealed for bound or, until Config.UnboundUntil, for former, which is less than
// what the record belongs to: it is to be sealed again where it can. Later such a record is ErrFormerSeal.
// Any other that cannot be opened is ErrSealed, as with unseal.
func (a *Adapter) unsealBound(
	bound, former tie.Binding, sealed []byte,
) (plaintext []byte, isFormer bool, err error) {
	plaintext, err = a.ring.unseal(bound.Purpose, bound.ID, sealed)
	if err == nil {
		return plaintext, false, nil
	}
	if plaintext, formerErr := a.ring.unseal(former.Purpose, former.ID, sealed); formerErr == nil {
		if a.now().Before(a.config.UnboundUntil) {
			return plaintext, true, nil
		}
		err = fmt.Errorf("%s: %w", former.Purpose, ErrFormerSeal)
	}
	a.reportSealed(bound.Purpose, err)
	return nil, false, err
}

// reportSealed logs each kind of failure once a minute at most: a key that was lost fails many requests.
func (a *Adapter) reportSealed(purpose string, err error) {
	if err != nil && a.unopened.Allow(err.Error()) {
		a.config.Logger.LogAttrs(context.Background(), slog.LevelError, "sealed record cannot be opened",
			slog.String("purpose", purpose), slog.String("error", err.Error()))
	}
}
