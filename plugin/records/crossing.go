package records

// Records as they move between stores, and their sort keys.

import (
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
)

// The following is common to all stores, so that records and results tokens are valid in any of them: the
// encoding of a record in a move, and the positions of listings
// (plugin/proto/sessions/records/v1/records.proto).

// Cross clears the fields of a record that are internal to a store, and encodes it as in a move: two stores
// with the same records have the same bytes.
func Cross(message proto.Message) ([]byte, error) {
	switch m := message.(type) {
	case *Session:
		m.IndexedDue = 0
	case *Notification:
		m.Due, m.Claimed = 0, false
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(message)
}

// SortKey encodes a time as eight bytes that sort by time, also before 1970.
func SortKey(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)^1<<63) }

// SessionPosition returns the position of a session in listings, which are in creation order.
func SessionPosition(s *Session) []byte { return append(SortKey(s.GetCreated()), s.GetSessionId()...) }

// GrantPosition returns the position of a grant.
func GrantPosition(ref grantstore.Ref, g *Grant) []byte {
	return append(SortKey(g.GetCreated()), GrantSerial(ref)...)
}

// SerialLength is the length of GrantSerial.
const SerialLength = 8

// GrantSerial distinguishes grants with the same creation in listings without revealing their keys.
func GrantSerial(ref grantstore.Ref) []byte {
	sum := sha256.Sum256(RefBytes(ref))
	return sum[:SerialLength]
}
