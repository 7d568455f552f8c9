package memory

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// messageOf returns an empty message of a kind, nil for rows that are none.
func messageOf(kind transfer.Kind) proto.Message {
	switch kind {
	case transfer.Sessions:
		return &records.Session{}
	case transfer.Clients:
		return &records.ClientUse{}
	case transfer.Ended:
		return &records.Ended{}
	case transfer.Grants:
		return &records.Grant{}
	case transfer.Operations:
		return &records.Operation{}
	case transfer.Jobs:
		return &records.Job{}
	case transfer.Notifications:
		return &records.Notification{}
	case transfer.Properties:
		return &records.Property{}
	}
	return nil
}

// decode reads a row. Each was checked before it was written.
func decode(data []byte, message proto.Message) {
	if message == nil {
		return
	}
	if err := proto.Unmarshal(data, message); err != nil {
		panic(fmt.Sprintf("a row in memory is damaged: %v", err))
	}
}

// load returns a copy of a row, for the caller to change and save, nil where there is none.
func load[M any, P interface {
	*M
	proto.Message
}](t *tx, kind transfer.Kind, key string) P {
	row, found := t.tables[kind][key]
	if !found {
		return nil
	}
	message := P(new(M))
	decode(row.data, message)
	return message
}

// save writes a row. Deterministic is what makes two stores with the same records have the same sums.
func (t *tx) save(kind transfer.Kind, key string, message proto.Message) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("a row that was checked cannot be written: %v", err))
	}
	if data == nil {
		data = []byte{}
	}
	t.put(kind, key, data)
}

// keys returns the keys of a table, sorted.
func (t *tx) keys(kind transfer.Kind) []string { return slices.Sorted(maps.Keys(t.tables[kind])) }

func (t *tx) session(sid string) *records.Session {
	return load[records.Session](t, transfer.Sessions, sid)
}

func (t *tx) use(sid, client string) *records.ClientUse {
	return load[records.ClientUse](t, transfer.Clients, sid+"\x00"+client)
}

func (t *tx) saveUse(sid, client string, use *records.ClientUse) {
	t.save(transfer.Clients, sid+"\x00"+client, use)
}

func (t *tx) ended(sid string) *records.Ended {
	return load[records.Ended](t, transfer.Ended, sid)
}

func (t *tx) grant(ref grantstore.Ref) *records.Grant {
	return load[records.Grant](t, transfer.Grants, string(records.RefBytes(ref)))
}

func (t *tx) notice(id string) *records.Notification {
	return load[records.Notification](t, transfer.Notifications, id)
}

// scan calls f for every row of a kind as it is stored: to look at, not to change.
func scan[P proto.Message](t *tx, kind transfer.Kind, f func(key string, row P)) {
	for key, row := range t.tables[kind] {
		if message, ok := row.message.(P); ok {
			f(key, message)
		}
	}
}

// position is where a row stands in a listing by creation.
func position(created int64, tail string) string {
	return string(binary.BigEndian.AppendUint64(nil, uint64(created)^1<<63)) + tail
}

func sessionPosition(s *records.Session) string { return position(s.GetCreated(), s.GetSessionId()) }

func grantPosition(key string, g *records.Grant) string {
	sum := sha256.Sum256([]byte(key))
	return position(g.GetCreated(), string(sum[:8]))
}

func grantOf(key string, r *records.Grant) *grantstore.Grant {
	ref, _ := records.RefOf(key)
	return records.GrantOf(ref, r)
}
