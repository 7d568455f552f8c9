// Package layout defines the layout of a database: the keys of rows and index entries. It does no I/O.
package layout

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Version is the version of the format below. A newer format is refused, and an older one is migrated when it
// is opened (kv/migrate.go). Format 1 had no contents in its ledger, format 2 no properties: an older program
// would lose count of them. Up to format 2 used grants stayed whole, among the grants of their session; the
// purge reduces them (used.go). Up to format 3 each grant had its own listings; the start deletes those of
// companions (removelistings.go). Up to format 4 an entry by the age of operations had one operation, and is
// still read.
const Version = 5

// The layout. A key is a prefix of one or two bytes and its parts. Ids contain no NUL (ticketstore.CheckID),
// so an id that is followed by something ends in one. Moments are 8 bytes that sort as the moments do
// (TimeKey). Values are the messages of plugin/records and of internal/recordpb; an index has none, or the
// parts of the key that it leads to.
//
//	s  sid                            -> Session
//	k  key                            -> sid                     session by cookie
//	l  created sid                    -> Session without ticket  listing
//	u  subject 0 created sid          ->                         sessions of a subject
//	i  client 0 created sid           ->                         sessions of a client
//	x  due sid                        ->                         expiry; may be early, never late
//	c  sid 0 client                   -> ClientUse
//	n  (client)                       -> count                   live sessions, all or of a client
//
//	e  sid                            -> Ended
//	es subject 0 sid                  ->                         ended sessions with survivors
//	ex due sid                        ->                         when to check if an ended record may go
//
//	g  type key                       -> Grant
//	f  request id                     -> Family
//	ga created serial                 -> type key                unused grants in order of creation
//	gs sid 0 created serial           -> type key                ... of a session
//	gu subject 0 created serial       -> type key                ... of a subject
//	gc client 0 created serial        -> type key                ... of a client; none of these four for a
//	                                                             companion, see companion.go
//	gd hash of sid, start of type key ->                         used ones of a session, see usedKey
//	gx due type key                   ->                         expiry, or the end of a used one's grace
//	gl subject 0 client 0 type key    ->                         grants of a subject that no session judges
//
//	o  operation id                   -> Operation
//	ox time operation id              -> others                  age, see age.go
//	j  operation id                   -> Job                     ending of several steps
//	dr operation id                   ->                         those under way
//	dx time operation id              ->                         age of those that are done
//	p  sid                            -> operation id            rows of dead grants remain; left by whom
//
//	q  id                             -> Notification
//	qd client 0 due id                ->                         pending notifications of a client
//	qt state 0 id                     ->                         notifications by state
//	qc client 0 id                    ->                         ... by client
//	qs sid 0 id                       ->                         ... by session
//	qx due id                         ->                         when a settled notification may go
//
//	v  name                           -> Property                of the host
//
//	ms                                -> Ledger                  state of the store in a move
//	mc                                -> Contents                count and sum of each kind of records
//	mr                                -> number                  of requests to recount the contents
//	mi                                -> id                      of the store, never changed
//	mu                                -> place                   progress of reducing used grants
//	ml                                -> place                   progress of deleting companions' listings
//	mj number                         -> key of a row            journal of changes while an export is open
//
//	z  key                            -> value                   a damaged row, as it was
//
// The prefixes below start with a byte that no other table starts with, or differ in their second
// byte: a table whose name is one letter and has sisters with two is written with a 0 after it.
var (
	TableSession             = []byte("s")
	TableCookie              = []byte("k")
	IndexListing             = []byte("l")
	IndexSubject             = []byte("u")
	IndexClient              = []byte("i")
	IndexExpiry              = []byte("x")
	TableClientUse           = []byte("c")
	TableCount               = []byte("n")
	TableEnded               = []byte("e\x00")
	IndexEndedSubject        = []byte("es")
	IndexEndedDue            = []byte("ex")
	TableGrant               = []byte("g\x00")
	TableFamily              = []byte("f")
	IndexGrantAll            = []byte("ga")
	IndexGrantSession        = []byte("gs")
	IndexGrantSubject        = []byte("gu")
	IndexGrantClient         = []byte("gc")
	indexGrantUsed           = []byte("gd")
	IndexGrantDue            = []byte("gx")
	IndexGrantLoose          = []byte("gl")
	TableOperation           = []byte("o\x00")
	IndexOperationAge        = []byte("ox")
	TableJob                 = []byte("j")
	IndexJobRunning          = []byte("dr")
	IndexJobAge              = []byte("dx")
	TablePurge               = []byte("p")
	TableNotification        = []byte("q\x00")
	IndexNotificationDue     = []byte("qd")
	IndexNotificationState   = []byte("qt")
	IndexNotificationClient  = []byte("qc")
	IndexNotificationSession = []byte("qs")
	IndexNotificationPurge   = []byte("qx")
	TableProperty            = []byte("v")
	TableDamaged             = []byte("z")
	TableJournal             = []byte("mj")
	TableLedger              = []byte("m")
	LedgerKey                = []byte("ms")
	ContentsKey              = []byte("mc")
	StoreIDKey               = []byte("mi")
	RecountKey               = []byte("mr")
	MakeSmallKey             = []byte("mu")
	UnlistKey                = []byte("ml")
)

// Key concatenates a table and parts.
func Key(table []byte, parts ...[]byte) []byte {
	n := len(table)
	for _, p := range parts {
		n += len(p)
	}
	k := append(make([]byte, 0, n), table...)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

// Last returns an id at the end of a key, More an id followed by other parts.
func Last(id string) []byte { return []byte(id) }
func More(id string) []byte { return append([]byte(id), 0) }

// TimeKey encodes a time so that keys sort by time, also before 1970.
func TimeKey(n int64) []byte { return records.SortKey(n) }

const TimeKeyLength = 8

// SplitTimed parses the rest of an index key after a prefix: a time, and what follows it.
func SplitTimed(k []byte, prefix int) (at time.Time, rest []byte, err error) {
	if len(k) < prefix+TimeKeyLength {
		return time.Time{}, nil, DamagedEntry(k)
	}
	rest = k[prefix+TimeKeyLength:]
	return records.Moment(int64(binary.BigEndian.Uint64(k[prefix:]) ^ 1<<63)), rest, nil
}

func SessionKey(sid string) []byte           { return Key(TableSession, Last(sid)) }
func CookieKey(k ticketstore.Key) []byte     { return Key(TableCookie, k[:]) }
func ClientUsePrefix(sid string) []byte      { return Key(TableClientUse, More(sid)) }
func ClientUseKey(sid, client string) []byte { return Key(TableClientUse, More(sid), Last(client)) }
func CountKey(client string) []byte          { return Key(TableCount, Last(client)) }
func EndedKey(sid string) []byte             { return Key(TableEnded, Last(sid)) }
func GrantKey(ref grantstore.Ref) []byte     { return Key(TableGrant, records.RefBytes(ref)) }
func FamilyKey(requestID string) []byte      { return Key(TableFamily, Last(requestID)) }
func OperationKey(id string) []byte          { return Key(TableOperation, Last(id)) }
func JobKey(id string) []byte                { return Key(TableJob, Last(id)) }
func PurgeKey(sid string) []byte             { return Key(TablePurge, Last(sid)) }
func NotificationKey(id string) []byte       { return Key(TableNotification, Last(id)) }
func PropertyKey(name string) []byte         { return Key(TableProperty, Last(name)) }

// Keys of index entries that are written in several places.
func ExpiryKey(due int64, sid string) []byte { return Key(IndexExpiry, TimeKey(due), Last(sid)) }
func EndedSubjectKey(subject, sid string) []byte {
	return Key(IndexEndedSubject, More(subject), Last(sid))
}
func EndedDueKey(due int64, sid string) []byte { return Key(IndexEndedDue, TimeKey(due), Last(sid)) }
func JobRunningKey(id string) []byte           { return Key(IndexJobRunning, Last(id)) }
func NotificationStateKey(state, id string) []byte {
	return Key(IndexNotificationState, More(state), Last(id))
}
func NotificationClientKey(client, id string) []byte {
	return Key(IndexNotificationClient, More(client), Last(id))
}
func NotificationSessionKey(sid, id string) []byte {
	return Key(IndexNotificationSession, More(sid), Last(id))
}
func NotificationPurgeKey(at int64, id string) []byte {
	return Key(IndexNotificationPurge, TimeKey(at), Last(id))
}

func NotificationDueKey(client string, due int64, id string) []byte {
	return Key(IndexNotificationDue, More(client), TimeKey(due), Last(id))
}

// Successor returns the first key after all keys with a prefix.
func Successor(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
