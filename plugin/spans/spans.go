// Package spans is how an engine says what it does within a call that is traced. A plugin opens no connection
// and has no exporter: its spans go back to the host with the answer of the call, and the host records them.
package spans

// Recorder: the spans of one call.

import (
	"context"
	"sync"
	"time"
)

const (
	// Max is how many spans of one call are kept. Further ones are left out.
	Max = 64
	// Slow is how long a read takes that is worth a span. One of a shorter read would cost as much as that,
	// to say that it was short.
	Slow = time.Millisecond
	// room is for the spans of most writes.
	room = 4
)

// The attributes that a host takes from a plugin, by OpenTelemetry's semantic conventions for databases. It
// leaves out any other, so that nothing about a person gets into a trace by a plugin.
const (
	// System is the engine: "badger", "postgresql".
	System = "db.system.name"
	// Operation is what it did.
	Operation = "db.operation.name"
	// BatchSize is how many changes one transaction has committed, in decimal.
	BatchSize = "db.operation.batch.size"
)

// Span is something that was done, from one moment to another.
type Span struct {
	// Name says what, never for whom: lower-case letters, digits, spaces and "._-".
	Name       string
	Start, End time.Time
	Attributes []Attribute
}

// Attribute is a property of a span.
type Attribute struct{ Key, Value string }

// Recorder keeps the spans of one call. It is safe for concurrent use. A nil Recorder keeps none.
type Recorder struct {
	mu    sync.Mutex
	spans []Span
}

// AddRead keeps the span of a read that was Slow. Writes have theirs by Add, whatever they took.
func (r *Recorder) AddRead(span Span) {
	if span.End.Sub(span.Start) >= Slow {
		r.Add(span)
	}
}

// Add keeps a span.
func (r *Recorder) Add(span Span) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spans == nil {
		r.spans = make([]Span, 0, room)
	}
	if len(r.spans) < Max {
		r.spans = append(r.spans, span)
	}
}

// Spans returns the spans that were added so far, in that order.
func (r *Recorder) Spans() []Span {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Span(nil), r.spans...)
}

// Key is the key of a Recorder among the values of a context, for a context of one's own.
type Key struct{}

// NewContext returns a context whose call is traced.
func NewContext(ctx context.Context, r *Recorder) context.Context {
	return context.WithValue(ctx, Key{}, r)
}

// FromContext returns the recorder of a traced call, nil for any other. An engine that asks pays nothing else
// for the calls that are not traced.
func FromContext(ctx context.Context) *Recorder {
	r, _ := ctx.Value(Key{}).(*Recorder)
	return r
}
