package hostadapter

// Metrics, by OpenTelemetry's API: counters of events. Observable metrics are in gauges.go.

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// metrics are the counters of an Adapter. A nil *metrics counts nothing.
type metrics struct {
	started, renewed, ended            metric.Int64Counter
	issued, consumed, refused, revoked metric.Int64Counter
	queued, deliveries                 metric.Int64Counter
	gauges                             metric.Registration
}

// The values of the labels. Each counter starts at zero with each of them, because Prometheus sees no
// increase if a series starts at one.
var (
	reasons = []string{
		string(logout.UserLogout), string(logout.SessionExpiration), string(logout.Terminated),
		string(logout.SessionReplaced),
	}
	outcomes = []string{string(logout.Delivered), string(logout.Refused), string(logout.GivenUp), retried}
	used     = []string{string(grantstore.AuthorizationCode), string(grantstore.RefreshToken)}
	issued   = append(used[:len(used):len(used)], string(grantstore.ReferenceToken),
		string(grantstore.UserConsent))
	refusals = []struct {
		is   error
		name string
	}{
		{grantstore.ErrConsumed, "consumed"}, {grantstore.ErrSessionEnded, "session_ended"},
		{ticketstore.ErrNotFound, "not_found"}, {ticketstore.ErrExists, "exists"},
		{ticketstore.ErrConflict, "conflict"}, {ticketstore.ErrTooManyClients, "too_many_clients"},
		{ticketstore.ErrUnavailable, "unavailable"}, {ticketstore.ErrInvalid, "invalid"},
	}
)

// retried is the outcome of a delivery that will be retried.
const retried = "retried"

// begin starts all counters at zero.
func (m *metrics) begin() {
	for _, c := range []metric.Int64Counter{m.started, m.renewed, m.revoked, m.queued} {
		count(c, 0, "", "")
	}
	for _, reason := range reasons {
		count(m.ended, 0, "reason", reason)
	}
	for _, outcome := range outcomes {
		count(m.deliveries, 0, "outcome", outcome)
	}
	for _, r := range refusals {
		count(m.refused, 0, "reason", r.name)
	}
	for _, grant := range used {
		count(m.consumed, 0, "type", grant)
	}
	for _, grant := range issued {
		count(m.issued, 0, "type", grant)
	}
}

// newMetrics returns the metrics of a provider, or nil if provider is nil.
func (a *Adapter) newMetrics(provider metric.MeterProvider) (*metrics, error) {
	if provider == nil {
		return nil, nil //nolint:nilnil // nil counts nothing
	}
	meter := provider.Meter(scope)
	m := &metrics{}
	var errs []error
	for _, c := range []struct {
		counter           *metric.Int64Counter
		name, unit, about string
	}{
		{&m.started, "started", "{session}", "Sessions started."},
		{&m.renewed, "renewed", "{session}", "Sessions renewed."},
		{&m.ended, "ended", "{session}", "Sessions ended, by reason."},
		{&m.issued, "grants.issued", "{grant}", "Codes, tokens, consents and other grants stored, by type."},
		{&m.consumed, "grants.consumed", "{grant}", "Codes and refresh tokens used, by type."},
		{&m.refused, "grants.refused", "{batch}", "Batches of grants refused by the store, by reason."},
		{&m.revoked, "grants.revoked", "{grant}", "Tokens and consents revoked."},
		{&m.queued, "deliveries.queued", "{notification}", "Notifications queued for clients."},
		{&m.deliveries, "deliveries.attempts", "{attempt}", "Attempts to notify a client, by outcome."},
	} {
		counter, err := meter.Int64Counter("fosite_sessions."+c.name, metric.WithUnit(c.unit),
			metric.WithDescription(c.about))
		*c.counter, errs = counter, append(errs, err)
	}
	gauges, err := a.newGauges(meter)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	m.gauges = gauges
	m.begin()
	return m, nil
}

func (m *metrics) close() error {
	if m == nil {
		return nil
	}
	return m.gauges.Unregister()
}

// label is a label of a counter.
type label struct{ key, value string }

func (l label) option() []metric.AddOption {
	return []metric.AddOption{
		metric.WithAttributeSet(attribute.NewSet(attribute.String(l.key, l.value))),
	}
}

// labelled holds the precomputed options of the labels that counters start with.
var labelled = func() map[label][]metric.AddOption {
	options := map[label][]metric.AddOption{{}: nil}
	for _, of := range []struct {
		key    string
		values []string
	}{{"reason", reasons}, {"outcome", outcomes}, {"type", issued}} {
		for _, value := range of.values {
			options[label{of.key, value}] = label{of.key, value}.option()
		}
	}
	for _, r := range refusals {
		options[label{"reason", r.name}] = label{"reason", r.name}.option()
	}
	return options
}()

// count adds to a counter. No label has an id: its values are a small set defined in the code.
func count(counter metric.Int64Counter, n int, key, value string) {
	options, known := labelled[label{key, value}]
	if !known {
		options = label{key, value}.option()
	}
	counter.Add(context.Background(), int64(n), options...)
}

// event counts a published event, on the host that caused it.
func (m *metrics) event(event Event) {
	if m == nil {
		return
	}
	switch e := event.(type) {
	case *SessionStarted:
		count(m.started, 1, "", "")
	case *SessionRenewed:
		count(m.renewed, 1, "", "")
	case *SessionEnded:
		count(m.ended, 1+e.More, "reason", string(e.Reason))
	case *GrantsRevoked:
		count(m.revoked, e.Tokens+e.Consents, "", "")
	}
}

// applied counts the changes of a batch.
func (m *metrics) applied(batch *grantstore.Batch, result *grantstore.Result, err error) {
	if m == nil {
		return
	}
	if err != nil {
		count(m.refused, 1, "reason", refusal(err))
		return
	}
	for i := range batch.Store {
		count(m.issued, 1, "type", string(batch.Store[i].Type))
	}
	if batch.Consume != nil {
		count(m.consumed, 1, "type", string(batch.Consume.Type))
	}
	count(m.revoked, result.Revoked, "", "")
}

// refusal returns the label of the reason why a batch was refused.
func refusal(err error) string {
	for _, r := range refusals {
		if errors.Is(err, r.is) {
			return r.name
		}
	}
	return "other"
}

// queue counts notifications queued by an ending.
func (m *metrics) queue(n int) {
	if m != nil {
		count(m.queued, n, "", "")
	}
}

// attempted counts a delivery.
func (m *metrics) attempted(outcome logout.Outcome) {
	if m == nil {
		return
	}
	name := string(outcome.State)
	if outcome.State == logout.Pending {
		name = retried
	}
	count(m.deliveries, 1, "outcome", name)
}
