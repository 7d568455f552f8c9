package hostadapter

// What counting costs.

import (
	"testing"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/fosite-sessions/sessions/grantstore"
)

// A token request is counted without an allocation. Not parallel: allocations are those of the process.
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
