package records

// Records in the form in which they move between stores, and their sort keys.

import (
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
)

// What every store has in common, so that records and results tokens are good in another one: the form in
// which a record crosses, and the positions of listings (plugin/proto/sessions/records/v1/records.proto).

// Cross takes from a record what is a store's own and does not move with it, and returns it in the form in
// which it crosses: two stores with the same records have the same bytes.
func Cross(message proto.Message) ([]byte, error) {
	switch m := message.(type) {
	case *Session:
		m.IndexedDue = 0
	case *Notification:
		m.Due, m.Claimed = 0, false
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(message)
}

// SortKey is a moment as eight bytes that sort as the moments do, those before 1970 too.
func SortKey(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)^1<<63) }

// SessionPosition is where a session stands in listings, which are in the order of creation.
func SessionPosition(s *Session) []byte { return append(SortKey(s.GetCreated()), s.GetSessionId()...) }

// GrantPosition is where a grant stands.
func GrantPosition(ref grantstore.Ref, g *Grant) []byte {
	return append(SortKey(g.GetCreated()), GrantSerial(ref)...)
}

// SerialLength is the length of GrantSerial.
const SerialLength = 8

// GrantSerial distinguishes grants of one moment in listings without giving their keys away.
func GrantSerial(ref grantstore.Ref) []byte {
	sum := sha256.Sum256(RefBytes(ref))
	return sum[:SerialLength]
}
