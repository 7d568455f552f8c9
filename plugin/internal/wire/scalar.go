package wire

import (
	"crypto/sha256"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// FromTime returns the message of a moment, nil for the zero time.
func FromTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// FromLimit returns a limit as the wire holds it: what does not fit means no more than what does.
func FromLimit(limit int) int32 {
	return int32(max(min(limit, math.MaxInt32), math.MinInt32))
}

// FromDuration returns the message of a duration, nil for zero.
func FromDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// Now returns the moment that a request must carry.
func Now(ts *timestamppb.Timestamp) (time.Time, error) {
	var r reader
	now := r.time("now", ts)
	if r.err == nil && now.IsZero() {
		return now, ticketstore.Invalidf("now", "is not set")
	}
	return now, r.err
}

// Key returns a key of the wire; an absent one is the zero key, which belongs to no record.
func Key(field string, raw []byte) ([sha256.Size]byte, error) {
	var r reader
	key := r.key(field, raw)
	return key, r.err
}

// reader converts values and keeps the first error.
type reader struct{ err error }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) time(field string, ts *timestamppb.Timestamp) time.Time {
	if ts == nil {
		return time.Time{}
	}
	if !ts.IsValid() {
		r.fail(ticketstore.Invalidf(field, "is not a moment between the years 1 and 9999"))
		return time.Time{}
	}
	return ts.AsTime()
}

func (r *reader) duration(field string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	if !d.IsValid() {
		r.fail(ticketstore.Invalidf(field, "is not a duration"))
		return 0
	}
	return d.AsDuration()
}

func (r *reader) key(field string, raw []byte) (key [sha256.Size]byte) {
	if len(raw) != 0 && len(raw) != len(key) {
		r.fail(ticketstore.Invalidf(field, "is not %d bytes long", len(key)))
		return key
	}
	copy(key[:], raw)
	return key
}

// convert applies a conversion to each element; nothing stays nil.
func convert[From, To any](list []From, each func(From) To) []To {
	if len(list) == 0 {
		return nil
	}
	converted := make([]To, len(list))
	for i := range list {
		converted[i] = each(list[i])
	}
	return converted
}

// fromKey returns the bytes of a key, nil for the zero key.
func fromKey(key [sha256.Size]byte) []byte {
	if key == [sha256.Size]byte{} {
		return nil
	}
	return key[:]
}
