package hostadapter

// The Adapter: its start, the checks of its backend, its shutdown.

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

// describeTimeout bounds the Describe calls of New.
const describeTimeout = 30 * time.Second

// Adapter manages the sessions of a host's users. It is safe for concurrent use.
type Adapter struct {
	config     Config
	ring       *keyRing
	dispatcher *logout.Dispatcher
	// description is the backend's most recent description.
	description atomic.Pointer[ticketstore.Description]
	// backends is the value of config.Backend; swaps replaces the backend behind it.
	backends *backendSwitch
	swaps    swaps
	// pinned is used by the start, and later only by the running swap.
	pinned pinned

	sliding   sliding
	missing   missingKeys
	unopened  loglimit.Texts
	signOuts  loglimit.Lines // failed sign-outs
	redirects loglimit.Lines // rejected redirects
	events    *eventStream
	tracing   tracing
	metrics   *metrics
	// due is when the next session falls due, according to the last sweep, in Unix nanoseconds; 0 if unknown.
	due       atomic.Int64
	stop      context.CancelFunc
	sweeping  sync.WaitGroup
	closeOnce sync.Once
	closeErr  error
}

// New starts an Adapter, which delivers pending notifications and ends sessions that fall due. Its error
// names every invalid field of the configuration. ctx bounds the start only. The caller must call Close.
func New(ctx context.Context, config Config) (*Adapter, error) {
	if err := config.prepare(); err != nil {
		return nil, err
	}
	ring, err := newKeyRing(config.Keys)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: %w", err)
	}
	// From here on only the derived keys are needed.
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

// start opens and claims the backend, and starts the background work.
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

// checkBackend returns an error if the backend lacks a service that a host needs. A backend whose description
// lists no services is assumed to have those of its type.
func (a *Adapter) checkBackend(ctx context.Context) error {
	description, err := a.config.Backend.Describe(ctx)
	if err != nil {
		return fmt.Errorf("asking the backend what it is: %w", err)
	}
	a.description.Store(&description)
	return checkServices(&description)
}

// checkServices returns an error that names all required services that the backend lacks.
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

// limitsOf returns, for operators, what a backend does not support.
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

// warnOfLimits logs the limits of the serving backend. It is called once per backend.
func (a *Adapter) warnOfLimits(ctx context.Context) {
	description := a.description.Load()
	for _, limit := range limitsOf(description) {
		a.config.Logger.WarnContext(ctx, "backend has a limit", "backend", description.Name, "limit", limit)
	}
}

// describeServing updates the description after a backend has begun to serve, for BackendStatus.
func (a *Adapter) describeServing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if err := a.checkBackend(ctx); err != nil {
		a.config.Logger.WarnContext(ctx, "the serving backend could not be described", "error", err)
		return
	}
	a.warnOfLimits(ctx)
}

// Ready returns nil if sessions can be served, or the reason why not, such as another host's swap that this
// one cannot follow. It is suitable for a readiness probe. A backend that refuses some changes because its
// disk is nearly full is ready for all others: see the Trouble of BackendStatus.
func (a *Adapter) Ready(ctx context.Context) error {
	if err := a.checkServing(ctx); err != nil {
		return fmt.Errorf("hostadapter: %w", err)
	}
	return nil
}

// checkServing is checkBackend for a host that may have to follow another host's swap.
func (a *Adapter) checkServing(ctx context.Context) error {
	if err := a.backends.trouble(); err != nil {
		return err
	}
	return a.checkBackend(ctx)
}

// Close aborts a swap or a backup, stops the sweeps and waits, bounded, for deliveries in flight.
// Config.Backend stays open: the caller closes it afterwards. Close is idempotent and returns the result of
// the first call.
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

// Backend returns the serving backend. It stays valid through swaps.
func (a *Adapter) Backend() sessions.Backend { return a.config.Backend }

// RemoteAddr returns the client address of a request, by Config.RemoteAddr.
func (a *Adapter) RemoteAddr(r *http.Request) string { return a.config.RemoteAddr(r) }

func (a *Adapter) now() time.Time { return a.config.Now().UTC() }

// unseal opens a value sealed with any of Config.Keys. If that fails it returns ErrSealed, and logs the
// failure, each kind at most once a minute.
func (a *Adapter) unseal(purpose string, id, sealed []byte) ([]byte, error) {
	plaintext, err := a.ring.unseal(purpose, id, sealed)
	a.reportSealed(purpose, err)
	return plaintext, err
}

// unsealBound opens a value sealed for bound or, until Config.UnboundUntil, for former, an earlier binding to
// less of the record's identity: the caller should then seal it again. After UnboundUntil such a value is
// ErrFormerSeal. Any other failure is ErrSealed, as in unseal.
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

// reportSealed logs each kind of failure at most once a minute, because a lost key fails many requests.
func (a *Adapter) reportSealed(purpose string, err error) {
	if err != nil && a.unopened.Allow(err.Error()) {
		a.config.Logger.LogAttrs(context.Background(), slog.LevelError, "sealed record cannot be opened",
			slog.String("purpose", purpose), slog.String("error", err.Error()))
	}
}
