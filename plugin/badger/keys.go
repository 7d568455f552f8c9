package badger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/plugin/records"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// formatVersion is the version of everything below. An engine refuses a newer one, and migrates an older one when it opens it (migrate.go).
// Version 1 had no contents in its ledger, version 2 no properties: an engine that does not know them would lose count of them. Up to version 2
// used grants stayed whole, among the grants of their session; they are made small behind (used.go).
const formatVersion = 3

// The layout. A key is a prefix of one or two bytes and its parts. Ids contain no NUL (ticketstore.CheckID), so an id that is
// followed by something ends in one. Moments are 8 bytes that sort as the moments do (timeKey). Values are the messages of
// internal/recordpb; an index has none, or the parts of the key that it leads to.
//
//	s  sid                                -> Session
//	k  key                                -> sid                     session by cookie
//	l  created sid                        -> Session without ticket  listing
//	u  subject 0 created sid              ->                         sessions of a subject
//	i  client 0 created sid               ->                         sessions of a client
//	x  due sid                            ->                         expiry; may be early, never late
//	c  sid 0 client                       -> ClientUse
//	n  (client)                           -> count                   live sessions, all or of a client
//
//	e  sid                                -> Ended
//	es subject 0 sid                      ->                         ended sessions with survivors
//	ex due sid                            ->                         when to look whether an ended record may go
//
//	g  type key                           -> Grant
//	f  request id                         -> Family
//	ga created serial                     -> type key                grants in order of creation
//	gs sid 0 created serial               -> type key                ... of a session
//	gu subject 0 created serial           -> type key                ... of a subject
//	gc client 0 created serial            -> type key                ... of a client
//	gd hash of sid, start of type key     ->                         used ones of a session, see usedKey
//	gx due type key                       ->                         expiry, or the end of a used one's grace
//	gl subject 0 client 0 type key        ->                         grants of a subject that no session judges
//
//	o  operation id                       -> Operation
//	ox time operation id                  ->                         age
//	j  operation id                       -> Job                     ending of several steps
//	dr operation id                       ->                         those under way
//	dx time operation id                  ->                         age of those that are done
//	p  sid                                -> operation id            session that may have rows of dead grants, and whose they are
//
//	q  id                                 -> Notification
//	qd client 0 due id                    ->                         pending notices of a client
//	qt state 0 id                         ->                         notices by state
//	qc client 0 id                        ->                         ... by client
//	qs sid 0 id                           ->                         ... by session
//	qx due id                             ->                         when a settled notice may go
//
//	v  name                               -> Property                of the host's
//
//	ms                                    -> Ledger                  state of the store in a move
//	mc                                    -> Contents                count and sum of each kind of records
//	mr                                    -> number                  the contents are to be counted anew: how often that was found
//	mi                                    -> id                      of the store, for good
//	mu                                    -> place                   used grants are to be made small, and how far that has come
//	mj number                             -> key of a row            journal of changes while an export is open
//
//	z  key                                -> value                   a row that was damaged, as it was
//
// The prefixes below start with a byte that no other table starts with, or are told apart by their second byte: a table whose name is
// one letter and has sisters with two is written with a 0 after it.
var (
	tableSession       = []byte("s")
	tableCookie        = []byte("k")
	indexListing       = []byte("l")
	indexSubject       = []byte("u")
	indexClient        = []byte("i")
	indexExpiry        = []byte("x")
	tableClientUse     = []byte("c")
	tableCount         = []byte("n")
	tableEnded         = []byte("e\x00")
	indexEndedSubject  = []byte("es")
	indexEndedDue      = []byte("ex")
	tableGrant         = []byte("g\x00")
	tableFamily        = []byte("f")
	indexGrantAll      = []byte("ga")
	indexGrantSession  = []byte("gs")
	indexGrantSubject  = []byte("gu")
	indexGrantClient   = []byte("gc")
	indexGrantUsed     = []byte("gd")
	indexGrantDue      = []byte("gx")
	indexGrantLoose    = []byte("gl")
	tableOperation     = []byte("o\x00")
	indexOperationAge  = []byte("ox")
	tableJob           = []byte("j")
	indexJobRunning    = []byte("dr")
	indexJobAge        = []byte("dx")
	tablePurge         = []byte("p")
	tableNotice        = []byte("q\x00")
	indexNoticeDue     = []byte("qd")
	indexNoticeState   = []byte("qt")
	indexNoticeClient  = []byte("qc")
	indexNoticeSession = []byte("qs")
	indexNoticePurge   = []byte("qx")
	tableProperty      = []byte("v")
	tableDamaged       = []byte("z")
	tableJournal       = []byte("mj")
	tableLedger        = []byte("m")
	ledgerKey          = []byte("ms")
	contentsKey        = []byte("mc")
	storeIDKey         = []byte("mi")
	recountKey         = []byte("mr")
	makeSmallKey       = []byte("mu")
)

// key joins a table and parts.
func key(table []byte, parts ...[]byte) []byte {
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

// last is an id that ends a key, more an id that something follows.
func last(id string) []byte { return []byte(id) }
func more(id string) []byte { return append([]byte(id), 0) }

// timeKey sorts as the moments do, those before 1970 too.
func timeKey(n int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(n)^1<<63)
}

const timeKeyLength = 8

// splitTimed takes apart what follows a prefix in an index key: a moment, and what comes after it.
func splitTimed(k []byte, prefix int) (at time.Time, rest []byte, err error) {
	if len(k) < prefix+timeKeyLength {
		return time.Time{}, nil, damagedEntry(k)
	}
	rest = k[prefix+timeKeyLength:]
	return records.Moment(int64(binary.BigEndian.Uint64(k[prefix:]) ^ 1<<63)), rest, nil
}

func damagedEntry(k []byte) error { return &damage{k, errEntry} }

var errEntry = errors.New("it is not in its form")

// serial tells grants of the same moment apart in listings without giving their keys away.
func serial(ref grantstore.Ref) []byte {
	sum := sha256.Sum256(records.RefBytes(ref))
	return sum[:8]
}

func sessionKey(sid string) []byte           { return key(tableSession, last(sid)) }
func cookieKey(k ticketstore.Key) []byte     { return key(tableCookie, k[:]) }
func clientUsePrefix(sid string) []byte      { return key(tableClientUse, more(sid)) }
func clientUseKey(sid, client string) []byte { return key(tableClientUse, more(sid), last(client)) }
func countKey(client string) []byte          { return key(tableCount, last(client)) }
func endedKey(sid string) []byte             { return key(tableEnded, last(sid)) }
func grantKey(ref grantstore.Ref) []byte     { return key(tableGrant, records.RefBytes(ref)) }
func familyKey(requestID string) []byte      { return key(tableFamily, last(requestID)) }
func operationKey(id string) []byte          { return key(tableOperation, last(id)) }
func jobKey(id string) []byte                { return key(tableJob, last(id)) }
func purgeKey(sid string) []byte             { return key(tablePurge, last(sid)) }
func noticeKey(id string) []byte             { return key(tableNotice, last(id)) }
func propertyKey(name string) []byte         { return key(tableProperty, last(name)) }

// successor is the first key after all that start with prefix.
func successor(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
