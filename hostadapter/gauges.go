package hostadapter

// Observable metrics, collected on each read: of the store, of the backend's process, of a swap.

import (
	"context"
	"errors"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// gauge is an observable metric.
type gauge struct {
	name, unit, about string
	// counts marks a counter that is monotonic as long as the backend's process lives.
	counts bool
}

// The gauges. Commits are counted in the plugin, which has no SDK, and OpenTelemetry has no observable
// histogram. Therefore buckets, sums and counts are separate counters. The label le and the cumulative
// buckets follow Prometheus histograms.
var gaugesOf = []gauge{
	{name: "live", unit: "{session}", about: "Sessions in the store."},
	{name: "backend.up", about: "1 if the backend answers, else 0."},
	{name: "deliveries.pending", unit: "{notification}",
		about: "Pending notifications; at most 1,000 are counted."},
	{name: "deliveries.oldest", unit: "s", about: "Age of the oldest pending notification."},
	{name: "expiry.lag", unit: "s", about: "Time since the earliest session to end fell due."},
	{name: "swap.progress", about: "Fraction that the running swap has copied, 0 to 1."},
	{name: "plugin.restarts", counts: true, about: "Replacements of the plugin's process."},
	{name: "plugin.waits", counts: true, about: "Calls that waited for a plugin's process to start."},
	{name: "commit.count", counts: true, about: "Durable transactions of the engine."},
	{name: "commit.changes", counts: true, about: "Changes in these transactions."},
	{name: "commit.time", unit: "s", counts: true, about: "Total time of these transactions."},
	{name: "commit.bucket", counts: true, about: "Transactions that took at most le seconds."},
	{name: "commit.group.bucket", counts: true, about: "Transactions of at most le changes."},
	{name: "database.round.trips", counts: true, about: "Round trips to the database."},
	{name: "database.connection.waits", counts: true, about: "Transactions that waited for a connection."},
	{name: "database.connection.wait.time", unit: "s", counts: true, about: "Total time of these waits."},
	{name: "disk.used", unit: "By", about: "Size of the data on disk."},
	{name: "disk.free", unit: "By", about: "Free space on the data's disk."},
	{name: "cache.hits", counts: true, about: "Access tokens answered from the host's cache."},
	{name: "cache.misses", counts: true, about: "Access tokens requested from the plugin."},
	{name: "cache.entries", about: "Access tokens in the host's cache."},
	{name: "cache.memory", unit: "By", about: "Estimated size of the host's cache."},
}

// reading is one collection of all gauges.
type reading struct {
	gauges   map[string]metric.Float64Observable
	observer metric.Observer
}

func (r *reading) set(name string, value float64, labels ...attribute.KeyValue) {
	r.observer.ObserveFloat64(r.gauges[name], value, metric.WithAttributes(labels...))
}

func (a *Adapter) newGauges(meter metric.Meter) (metric.Registration, error) {
	byName := map[string]metric.Float64Observable{}
	var all []metric.Observable
	var errs []error
	for _, g := range gaugesOf {
		var instrument metric.Float64Observable
		var err error
		name := "fosite_sessions." + g.name
		unit, about := metric.WithUnit(g.unit), metric.WithDescription(g.about)
		if g.counts {
			instrument, err = meter.Float64ObservableCounter(name, unit, about)
		} else {
			instrument, err = meter.Float64ObservableGauge(name, unit, about)
		}
		byName[g.name] = instrument
		all, errs = append(all, instrument), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, statusTimeout)
		defer cancel()
		a.read(ctx, &reading{gauges: byName, observer: o})
		return nil // if the store does not answer, up is 0 and its other metrics are left out
	}, all...)
}

func (a *Adapter) read(ctx context.Context, r *reading) {
	up := 0.0
	if a.readStore(ctx, r) == nil {
		up = 1
	}
	r.set("backend.up", up)
	if due := a.due.Load(); due != 0 {
		r.set("expiry.lag", max(0, a.now().Sub(time.Unix(0, due)).Seconds()))
	}
	a.swaps.mu.Lock()
	if n := len(a.swaps.known); n > 0 && a.swaps.known[n-1].Finished.IsZero() {
		p := a.swaps.known[n-1].Progress
		r.set("swap.progress", float64(p.Copied)/max(1, float64(p.Total)))
	}
	a.swaps.mu.Unlock()
	serving := a.backends.serving()
	if cached, ok := serving.(cachedBackend); ok {
		if f := cached.CacheFigures(); f != nil {
			r.set("cache.hits", float64(f.Hits))
			r.set("cache.misses", float64(f.Misses))
			r.set("cache.entries", float64(f.Entries))
			r.set("cache.memory", float64(f.Bytes))
		}
	}
	if measured, ok := serving.(sessions.Measured); ok {
		r.backend(measured.Figures(ctx))
	}
}

func (a *Adapter) readStore(ctx context.Context, r *reading) error {
	status := &BackendStatus{}
	if err := a.countForStatus(ctx, status); err != nil {
		return err
	}
	r.set("live", float64(status.Sessions))
	r.set("deliveries.pending", float64(status.PendingNotifications))
	page, err := a.config.Backend.Logout().Notifications(ctx, logout.NotificationQuery{
		Filter: logout.NotificationFilter{State: logout.Pending}, Order: ticketstore.Ascending, Count: 1,
	})
	if err != nil {
		return err
	}
	age := 0.0
	for i := range page.Notifications {
		age = max(age, a.now().Sub(page.Notifications[i].Queued).Seconds())
	}
	r.set("deliveries.oldest", age)
	return nil
}

// backend sets the backend's own metrics. With an error only its restarts and waits are known.
func (r *reading) backend(f sessions.Figures, err error) {
	r.set("plugin.restarts", float64(f.Restarts))
	r.set("plugin.waits", float64(f.Waits))
	if err != nil {
		return
	}
	r.set("commit.count", float64(f.Commits))
	r.set("commit.changes", float64(f.Changes))
	r.set("commit.time", f.CommitTime.Seconds())
	r.buckets("commit.bucket", f.CommitBuckets[:], f.Commits, func(i int) float64 {
		return sessions.CommitBounds[i].Seconds()
	})
	r.buckets("commit.group.bucket", f.GroupBuckets[:], f.Commits, func(i int) float64 {
		return float64(sessions.GroupBounds[i])
	})
	r.set("database.round.trips", float64(f.RoundTrips))
	r.set("database.connection.waits", float64(f.ConnectionWaits))
	r.set("database.connection.wait.time", f.ConnectionWaitTime.Seconds())
	if f.DiskUsed >= 0 {
		r.set("disk.used", float64(f.DiskUsed))
	}
	if f.DiskFree >= 0 {
		r.set("disk.free", float64(f.DiskFree))
	}
}

// buckets sets the cumulative buckets of a histogram.
func (r *reading) buckets(name string, counts []uint64, all uint64, bound func(i int) float64) {
	sum := uint64(0)
	for i, n := range counts {
		sum += n
		r.set(name, float64(sum), attribute.String("le", strconv.FormatFloat(bound(i), 'g', -1, 64)))
	}
	r.set(name, float64(all), attribute.String("le", "+Inf"))
}
