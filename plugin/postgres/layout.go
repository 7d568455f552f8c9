package postgres

// The columns of the tables: see internal/schema/migrations/001_tables.sql.

import (
	"cmp"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

var sessionTable = newTable(&table{
	kind: transfer.Sessions, name: "sessions", keys: 1,
	columns: []column{
		required("sid", "text", keyOf, func(r *row, v string) {
			r.key, session(r).SessionId = v, v
		}),
		required("cookie", "bytea", func(r *row) []byte { return session(r).GetKey() },
			func(r *row, v []byte) { session(r).Key = v }),
		required("subject", "text", func(r *row) string { return session(r).GetSubjectId() },
			func(r *row, v string) { session(r).SubjectId = v }),
		required("created", "bigint", func(r *row) int64 { return session(r).GetCreated() },
			func(r *row, v int64) { session(r).Created = v }),
		required("due", "bigint", func(r *row) int64 { return session(r).GetIndexedDue() },
			func(r *row, v int64) { session(r).IndexedDue = v }),
		required("expires", "bigint", func(r *row) int64 { return session(r).GetExpires() },
			func(r *row, v int64) { session(r).Expires = v }),
		required("renewed", "bigint", func(r *row) int64 { return session(r).GetRenewed() },
			func(r *row, v int64) { session(r).Renewed = v }),
		required("version", "bigint", func(r *row) int64 { return int64(session(r).GetVersion()) },
			func(r *row, v int64) { session(r).Version = uint64(v) }),
		required("ticket", "bytea", func(r *row) []byte { return notNull(session(r).GetTicket()) },
			func(r *row, v []byte) { session(r).Ticket = v }),
	},
	strip: func(_ *row, m proto.Message) {
		if s, ok := m.(*records.Session); ok {
			s.SessionId, s.Key, s.SubjectId, s.Created, s.IndexedDue = "", nil, "", 0, 0
			s.Expires, s.Renewed, s.Version, s.Ticket = 0, 0, 0, nil
		}
	},
})

// notNull is an empty value where there is none: a nil one is NULL.
func notNull(value []byte) []byte { return append([]byte{}, value...) }

func keyOf(r *row) string { return r.key }

func setKey(r *row, v string) { r.key = v }

func session(r *row) *records.Session { return message[*records.Session](r) }

var clientTable = newTable(&table{
	kind: transfer.Clients, name: "client_uses", keys: 2, guarded: true,
	columns: []column{
		required("sid", "text", func(r *row) string { sid, _ := splitClient(r.key); return sid }, setKey),
		required("client", "text", func(r *row) string { _, client := splitClient(r.key); return client },
			func(r *row, v string) { r.key = clientKey(r.key, v) }),
		optional("listed", "bigint", func(r *row) int64 {
			if message[*records.ClientUse](r).GetDetached() {
				return 0
			}
			return cmp.Or(r.created, 1) // a session that comes later in a move says when
		}, func(r *row, v int64) { r.created = v }),
	},
	strip: func(*row, proto.Message) {},
})

func clientKey(sid, client string) string { return sid + "\x00" + client }

func splitClient(key string) (sid, client string) {
	sid, client, _ = strings.Cut(key, "\x00")
	return sid, client
}

var endedTable = newTable(&table{
	kind: transfer.Ended, name: "ended", keys: 1,
	columns: []column{
		required("sid", "text", keyOf, setKey),
		optional("survivor", "text", func(r *row) string {
			ended := message[*records.Ended](r)
			if ended.GetSurvivors() == records.Survivors_SURVIVORS_UNSPECIFIED {
				return ""
			}
			return ended.GetSubjectId()
		}, nil),
		required("due", "bigint",
			func(r *row) int64 { return rules.EndedDue(message[*records.Ended](r)) }, nil),
	},
	strip: func(*row, proto.Message) {},
})

var grantTable = newTable(&table{
	kind: transfer.Grants, name: "grants", keys: 2,
	columns: []column{
		refKey, refType,
		optional("family", "text", func(r *row) string { return family(r) },
			func(r *row, v string) { grant(r).RequestId = v }),
		optional("subject", "text", func(r *row) string { return grant(r).GetSubjectId() },
			func(r *row, v string) { grant(r).SubjectId = v }),
		optional("sid", "text", func(r *row) string { return grant(r).GetSessionId() },
			func(r *row, v string) { grant(r).SessionId = v }),
		optional("client", "text", func(r *row) string { return grant(r).GetClientId() },
			func(r *row, v string) { grant(r).ClientId = v }),
		required("created", "bigint", func(r *row) int64 { return grant(r).GetCreated() },
			func(r *row, v int64) { grant(r).Created = v }),
		required("serial", "bytea", func(r *row) []byte {
			ref, _ := records.RefOf(r.key)
			if !rules.Listed(ref.Type, grant(r)) {
				return nil
			}
			return records.GrantSerial(ref)
		}, nil),
		optional("due", "bigint", func(r *row) int64 { return rules.GrantDue(grant(r)) }, nil),
	},
	strip: func(r *row, m proto.Message) {
		g, ok := m.(*records.Grant)
		if !ok {
			return
		}
		g.SubjectId, g.SessionId, g.ClientId, g.Created = "", "", "", 0
		if family(r) != "" {
			g.RequestId = ""
		}
	},
})

func grant(r *row) *records.Grant { return message[*records.Grant](r) }

// family is the request id of a token. Other grants belong to no family.
func family(r *row) string {
	if ref, _ := records.RefOf(r.key); !ref.Type.IsToken() {
		return ""
	}
	return grant(r).GetRequestId()
}

var (
	refKey = required("key", "bytea", func(r *row) []byte { return []byte(r.key[1:]) },
		func(r *row, v []byte) { r.key = string(v) })
	refType = required("type", "smallint", func(r *row) int16 { return int16(r.key[0]) },
		func(r *row, v int16) { r.key = string([]byte{byte(v)}) + r.key })
)

// sumOf is the record's part in the sums, for rows that go together.
var sumOf = required("sum", "bigint",
	func(r *row) int64 { return int64(cross(r.kind, r.key, r.now).Sum()) }, nil)

// ringColumn is the partition of a row.
var ringColumn = required("ring", "smallint",
	func(r *row) int16 { return r.ring }, func(r *row, v int16) { r.ring = v })

var usedTable = newTable(&table{
	kind: transfer.Grants, name: "used", keys: 3, moves: true, guarded: true,
	columns: []column{
		refKey, refType,
		ringColumn,
		optional("sid", "text", func(r *row) string { return grant(r).GetSessionId() },
			func(r *row, v string) { grant(r).SessionId = v }),
		optional("client", "text", func(r *row) string { return grant(r).GetClientId() },
			func(r *row, v string) { grant(r).ClientId = v }),
		// In the ring that is the expiry: see usedRing.
		required("due", "bigint", func(r *row) int64 { return rules.GrantDue(grant(r)) },
			func(r *row, v int64) {
				if r.ring != outside {
					grant(r).Expires = v
				}
			}),
		sumOf,
	},
	strip: func(r *row, m proto.Message) {
		g, ok := m.(*records.Grant)
		if !ok {
			return
		}
		if g.SessionId, g.ClientId = "", ""; r.ring != outside {
			g.Expires = 0
		}
	},
})

var noticeTable = newTable(&table{
	kind: transfer.Notifications, name: "notices", keys: 1,
	columns: []column{
		required("id", "text", keyOf, setKey),
		required("client", "text", func(r *row) string { return notice(r).GetClientId() },
			func(r *row, v string) { notice(r).ClientId = v }),
		required("sid", "text", func(r *row) string { return notice(r).GetSessionId() },
			func(r *row, v string) { notice(r).SessionId = v }),
		required("state", "text", func(r *row) string { return notice(r).GetState() },
			func(r *row, v string) { notice(r).State = v }),
		optional("due", "bigint", func(r *row) int64 {
			if notice(r).GetState() != string(logout.Pending) {
				return 0
			}
			return notice(r).GetDue()
		}, func(r *row, v int64) { notice(r).Due = v }),
		optional("over", "bigint", func(r *row) int64 { return notice(r).GetPurgeAt() },
			func(r *row, v int64) { notice(r).PurgeAt = v }),
	},
	strip: func(_ *row, m proto.Message) {
		if n, ok := m.(*records.Notification); ok {
			n.ClientId, n.SessionId, n.State, n.Due, n.PurgeAt = "", "", "", 0, 0
		}
	},
})

func notice(r *row) *records.Notification { return message[*records.Notification](r) }

var operationTable = newTable(&table{
	kind: transfer.Operations, name: "operations", keys: 1,
	columns: []column{
		required("id", "text", keyOf, setKey),
		ringColumn,
		required("at", "bigint", func(r *row) int64 { return message[*records.Operation](r).GetWhen() },
			func(r *row, v int64) { message[*records.Operation](r).When = v }),
		required("echo", "boolean", func(r *row) bool { return r.echo }, nil),
		sumOf,
	},
	strip: func(_ *row, m proto.Message) {
		if o, ok := m.(*records.Operation); ok {
			o.When = 0
		}
	},
})

var jobTable = newTable(&table{
	kind: transfer.Jobs, name: "jobs", keys: 1,
	columns: []column{
		required("id", "text", keyOf, setKey),
		optional("running", "boolean",
			func(r *row) bool { return message[*records.Job](r).GetPhase() != "" }, nil),
		optional("due", "bigint", func(r *row) int64 { return rules.JobDue(message[*records.Job](r)) }, nil),
	},
	strip: func(*row, proto.Message) {},
})

var purgeTable = newTable(&table{
	kind: transfer.Purges, name: "purges", keys: 1,
	columns: []column{
		required("sid", "text", keyOf, setKey),
		required("operation", "text",
			func(r *row) string { return string(message[*records.Property](r).GetValue()) },
			func(r *row, v string) { message[*records.Property](r).Value = []byte(v) }),
	},
})

var propertyTable = newTable(&table{
	kind: transfer.Properties, name: "properties", keys: 1,
	columns: []column{
		required("name", "text", keyOf, setKey),
		required("value", "bytea", func(r *row) []byte { return message[*records.Property](r).GetValue() },
			func(r *row, v []byte) { message[*records.Property](r).Value = v }),
	},
})
