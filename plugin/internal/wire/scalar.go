package wire

// Conversions shared by all messages: keys, references, counts, lists, and the first error of a message.

import (
	"crypto/sha256"
	"math"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// FromLimit returns a limit clamped to int32.
func FromLimit(limit int) int32 {
	return int32(max(min(limit, math.MaxInt32), math.MinInt32))
}

// Now returns the required time of a request.
func Now(nanos int64) (time.Time, error) {
	if nanos == 0 {
		return time.Time{}, ticketstore.Invalidf("now", "is not set")
	}
	return records.Moment(nanos), nil
}

// Key decodes a key; an absent key is the zero key, which belongs to no record.
func Key(field string, raw []byte) ([sha256.Size]byte, error) {
	var r reader
	key := r.key(field, raw)
	return key, r.err
}

// Ref decodes a reference to a grant.
func Ref(raw []byte) (grantstore.Ref, error) {
	var r reader
	ref := r.ref(raw)
	return ref, r.err
}

// reader converts values and records the first error.
type reader struct{ err error }

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) key(field string, raw []byte) (key [sha256.Size]byte) {
	if len(raw) != 0 && len(raw) != len(key) {
		r.fail(ticketstore.Invalidf(field, "is not %d bytes long", len(key)))
		return key
	}
	copy(key[:], raw)
	return key
}

func (r *reader) ref(raw []byte) grantstore.Ref {
	// RefOf rejects unknown types, so that they are not mistaken for others.
	ref, ok := records.RefOf(raw)
	if !ok {
		r.fail(ticketstore.Invalidf("ref", "is not a grant type and a key"))
	}
	return ref
}

func (r *reader) ends(field string, bits uint32) ticketstore.Ends {
	if bits > math.MaxUint8 {
		r.fail(ticketstore.Invalidf(field, "has an unknown way of ending"))
		return 0
	}
	return ticketstore.Ends(bits)
}

// convert applies a conversion to each element; an empty list becomes nil.
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

// convertPointers is convert for large elements.
func convertPointers[From, To any](list []From, each func(*From) To) []To {
	if len(list) == 0 {
		return nil
	}
	converted := make([]To, len(list))
	for i := range list {
		converted[i] = each(&list[i])
	}
	return converted
}

// fromKey returns the bytes of a key, or nil for the zero key.
func fromKey(key [sha256.Size]byte) []byte {
	if key == [sha256.Size]byte{} {
		return nil
	}
	return key[:]
}
