package postgres

// The columns of the tables: see internal/schema/migrations/001_tables.sql.

import (
	"cmp"
	"strings"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

var sessionTable = newTable(&table{
	kind: transfer.Sessions, name: "sessions", keys: 1,
	columns: []column{
		sessionID(),
		bytesField("cookie", func(r *row) *[]byte { return &session(r).Key }),
		field("subject", "text", func(r *row) *string { return &session(r).SubjectId }),
		field("created", "bigint", func(r *row) *int64 { return &session(r).Created }),
		// Never late, but possibly early: a renewal does not change it, and a sweep moves it (rule 8).
		field("due", "bigint", func(r *row) *int64 { return &session(r).IndexedDue }),
		field("expires", "bigint", func(r *row) *int64 { return &session(r).Expires }),
		field("renewed", "bigint", func(r *row) *int64 { return &session(r).Renewed }),
		field("version", "bigint", func(r *row) *uint64 { return &session(r).Version }),
		bytesField("ticket", func(r *row) *[]byte { return &session(r).Ticket }),
	},
})

// sessionID is the key of a session's row, which the message repeats.
func sessionID() column {
	set := func(r *row, v string) { r.key, session(r).SessionId = v, v }
	c := required("sid", "text", func(r *row) string { return r.key }, set)
	c.clear = func(r *row) { session(r).SessionId = "" }
	return c
}

func keyColumn(name string) column {
	return required(name, "text", func(r *row) string { return r.key }, func(r *row, v string) { r.key = v })
}

func session(r *row) *records.Session { return message[*records.Session](r) }

var clientTable = newTable(&table{
	kind: transfer.Clients, name: "client_uses", keys: 2, guarded: true,
	columns: []column{
		required("sid", "text", func(r *row) string { sid, _ := splitClient(r.key); return sid },
			func(r *row, v string) { r.key = v }),
		required("client", "text", func(r *row) string { _, client := splitClient(r.key); return client },
			func(r *row, v string) { r.key = clientKey(r.key, v) }),
		// NULL for a detached client: pages and counts of its sessions exclude it (rule 6).
		optional("listed", "bigint", func(r *row) int64 {
			if message[*records.ClientUse](r).GetDetached() {
				return 0
			}
			return cmp.Or(r.created, 1) // a session imported later sets it
		}, func(r *row, v int64) { r.created = v }),
	},
})

func clientKey(sid, client string) string { return sid + "\x00" + client }

func splitClient(key string) (sid, client string) {
	sid, client, _ = strings.Cut(key, "\x00")
	return sid, client
}

var endedTable = newTable(&table{
	kind: transfer.Ended, name: "ended", keys: 1,
	columns: []column{
		keyColumn("sid"),
		// NULL if nothing survives: a removal that revokes tokens looks only for the others (rule 2).
		optional("survivor", "text", func(r *row) string {
			ended := message[*records.Ended](r)
			if ended.GetSurvivors() == records.Survivors_SURVIVORS_UNSPECIFIED {
				return ""
			}
			return ended.GetSubjectId()
		}, nil),
		// A sweep that finds remaining grants postpones it: see postponeEnded.
		required("due", "bigint",
			func(r *row) int64 { return rules.EndedDue(message[*records.Ended](r)) }, nil),
	},
})

// Unused grants. Transactions that may revoke, use or judge a grant lock its row here.
var grantTable = newTable(&table{
	kind: transfer.Grants, name: "grants", keys: 2,
	columns: []column{
		refKey, refType,
		nullable("family", "text", family),
		nullable("subject", "text", func(r *row) *string { return &grant(r).SubjectId }),
		grantSession, grantClient,
		field("created", "bigint", func(r *row) *int64 { return &grant(r).Created }),
		// NULL if it is never listed.
		required("serial", "bytea", func(r *row) []byte {
			if !rules.Listed(r.ref().Type, grant(r)) {
				return nil
			}
			return records.GrantSerial(r.ref())
		}, nil),
		optional("due", "bigint", func(r *row) int64 { return rules.GrantDue(grant(r)) }, nil),
	},
})

func grant(r *row) *records.Grant { return message[*records.Grant](r) }

// family returns the request id of a token. Other grants belong to no family.
func family(r *row) *string {
	if !r.ref().Type.IsToken() {
		return nil
	}
	return &grant(r).RequestId
}

var (
	grantSession = nullable("sid", "text", func(r *row) *string { return &grant(r).SessionId })
	grantClient  = nullable("client", "text", func(r *row) *string { return &grant(r).ClientId })
	refKey       = required("key", "bytea", func(r *row) []byte { return []byte(r.key[1:]) },
		func(r *row, v []byte) { r.key = string(v) })
	refType = required("type", "smallint", func(r *row) int16 { return int16(r.key[0]) },
		func(r *row, v int16) { r.key = string([]byte{byte(v)}) + r.key })
)

// sumOf is the record's part in the sums, for rows that are deleted together.
var sumOf = required("sum", "bigint",
	func(r *row) int64 { return int64(cross(r.kind, r.key, r.now).Sum()) }, nil)

// ringColumn is the partition of a row.
var ringColumn = required("ring", "smallint",
	func(r *row) int16 { return r.ring }, func(r *row, v int16) { r.ring = v })

// Used grants have their own table. Two uses of a grant conflict, because each deletes the row of the unused
// one (rule 3); and most are deleted by emptying a partition: see ring.go.
var usedTable = newTable(&table{
	kind: transfer.Grants, name: "used", keys: 3, moves: true, guarded: true,
	columns: []column{
		refKey, refType,
		ringColumn, grantSession, grantClient, usedDue(), sumOf,
	},
})

// usedDue is when a used grant may be deleted. In the ring that is its expiry: see usedRing.
func usedDue() column {
	set := func(r *row, v int64) {
		if r.ring != outside {
			grant(r).Expires = v
		}
	}
	c := required("due", "bigint", func(r *row) int64 { return rules.GrantDue(grant(r)) }, set)
	c.clear = func(r *row) { set(r, 0) }
	return c
}

var noticeTable = newTable(&table{
	kind: transfer.Notifications, name: "notices", keys: 1,
	columns: []column{
		keyColumn("id"),
		field("client", "text", func(r *row) *string { return &notice(r).ClientId }),
		field("sid", "text", func(r *row) *string { return &notice(r).SessionId }),
		field("state", "text", func(r *row) *string { return &notice(r).State }),
		// NULL unless pending: claims find only pending ones (rule 7).
		nullable("due", "bigint", func(r *row) *int64 {
			if notice(r).GetState() != string(logout.Pending) {
				return nil
			}
			return &notice(r).Due
		}),
		nullable("over", "bigint", func(r *row) *int64 { return &notice(r).PurgeAt }),
	},
})

func notice(r *row) *records.Notification { return message[*records.Notification](r) }

var operationTable = newTable(&table{
	kind: transfer.Operations, name: "operations", keys: 1,
	columns: []column{
		keyColumn("id"),
		ringColumn,
		field("at", "bigint", func(r *row) *int64 { return &message[*records.Operation](r).When }),
		// Set for a second row of the same operation, in the adjacent partition: see placed.
		required("echo", "boolean", func(r *row) bool { return r.echo }, nil),
		sumOf,
	},
})

var jobTable = newTable(&table{
	kind: transfer.Jobs, name: "jobs", keys: 1,
	columns: []column{
		keyColumn("id"),
		optional("running", "boolean",
			func(r *row) bool { return message[*records.Job](r).GetPhase() != "" }, nil),
		optional("due", "bigint", func(r *row) int64 { return rules.JobDue(message[*records.Job](r)) }, nil),
	},
})

var purgeTable = newTable(&table{
	kind: transfer.Purges, name: "purges", keys: 1, whole: true,
	columns: []column{
		keyColumn("sid"),
		required("operation", "text",
			func(r *row) string { return string(message[*records.Property](r).GetValue()) },
			func(r *row, v string) { message[*records.Property](r).Value = []byte(v) }),
	},
})

var propertyTable = newTable(&table{
	kind: transfer.Properties, name: "properties", keys: 1, whole: true,
	columns: []column{
		keyColumn("name"),
		bytesField("value", func(r *row) *[]byte { return &message[*records.Property](r).Value }),
	},
})
