package hostadapter

// The cost of counters.

import (
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/fosite-sessions/sessions/grantstore"
)

// Counting a token request does not allocate. Not parallel, because allocations are counted per process.
func TestCountingABatchAllocatesNothing(t *testing.T) {
	m, err := (&Adapter{}).newMetrics(noop.NewMeterProvider())
	if err != nil {
		t.Fatal(err)
	}
	batch := &grantstore.Batch{
		Store: []grantstore.Grant{
			{Ref: grantstore.Ref{Type: grantstore.ReferenceToken}},
			{Ref: grantstore.Ref{Type: grantstore.RefreshToken}},
		},
		Consume: &grantstore.Consumption{Ref: grantstore.Ref{Type: grantstore.RefreshToken}},
	}
	result := &grantstore.Result{}
	count := func() float64 {
		return testing.AllocsPerRun(100, func() { m.applied(batch, result, nil) })
	}
	if n := count(); n != 0 {
		t.Errorf("counting a batch makes %g allocations, want none", n)
	}
}
