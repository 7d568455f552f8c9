package layout

// The index entries of each record.

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// SessionPosition returns the key of a session in a listing ordered by creation.
func SessionPosition(index, owner []byte, record *records.Session) []byte {
	return Key(index, owner, records.SessionPosition(record))
}

// Entry is an index entry. Value is the type and key of the grant that it leads to, unless the key contains
// them.
type Entry struct{ Key, Value []byte }

// Equal reports whether two entries are equal.
func (e Entry) Equal(other Entry) bool {
	return bytes.Equal(e.Key, other.Key) && bytes.Equal(e.Value, other.Value)
}

// GrantIndexes returns the unconditional index entries of a grant, none for nil: by its expiry, by its
// subject if no session judges it, and by its session once it is used.
func GrantIndexes(ref grantstore.Ref, g *records.Grant) []Entry {
	if g == nil {
		return nil
	}
	entries := make([]Entry, 0, 2)
	if due := rules.GrantDue(g); due != 0 {
		entries = append(entries, Entry{Key: Key(IndexGrantDue, TimeKey(due), records.RefBytes(ref))})
	}
	if ref.Type == grantstore.JTI || ref.Type == grantstore.PushedAuthorization {
		return entries
	}
	switch {
	case g.GetConsumed() == 0:
		if g.GetSubjectId() != "" && (g.GetSessionId() == "" || ref.Type == grantstore.UserConsent) {
			at := records.RefBytes(ref)
			entries = append(entries,
				Entry{Key(IndexGrantLoose, More(g.GetSubjectId()), More(g.GetClientId()), at), at})
		}
	case g.GetSessionId() == "":
	case g.GetUsed() != 0:
		entries = append(entries, Entry{Key: usedKey(g.GetSessionId(), ref)})
	default: // of a store of format 2
		entries = append(entries, Entry{
			Key(IndexGrantSession, More(g.GetSessionId()), records.GrantPosition(ref, g)),
			records.RefBytes(ref),
		})
	}
	return entries
}

// GrantListings returns the listing entries of an unused grant, unless it is a Companion. Replay marks and
// pushed requests have no owner and are not listed.
func GrantListings(ref grantstore.Ref, g *records.Grant) []Entry {
	if g == nil || !rules.Listed(ref.Type, g) {
		return nil
	}
	entries, at := make([]Entry, 0, 4), records.RefBytes(ref)
	position := records.GrantPosition(ref, g)
	lead := func(index []byte, owner string) {
		if owner != "" {
			entries = append(entries, Entry{Key(index, More(owner), position), at})
		}
	}
	entries = append(entries, Entry{Key(IndexGrantAll, position), at})
	lead(IndexGrantSession, g.GetSessionId())
	lead(IndexGrantSubject, g.GetSubjectId())
	lead(IndexGrantClient, g.GetClientId())
	return entries
}

// The number of hash bytes of a sid, and of a type and key, in an entry of used grants: enough for few
// collisions.
const (
	usedSessionLength = 6
	usedRefLength     = 16
)

// UsedPrefix returns the key prefix of the used grants of a session, and of a few others.
func UsedPrefix(sid string) []byte {
	sum := sha256.Sum256([]byte(sid))
	return Key(indexGrantUsed, sum[:usedSessionLength])
}

func usedKey(sid string, ref grantstore.Ref) []byte {
	return Key(UsedPrefix(sid), records.RefBytes(ref)[:usedRefLength])
}

// TypePrefix returns the key prefix of the grants of a type.
func TypePrefix(t grantstore.Type) []byte { return []byte{records.TypeNumber(t)} }

// EndedEntries returns the index entries of an ended record. A purge that finds tokens of its session moves
// the first to a later time.
func EndedEntries(sid string, ended *records.Ended) []Entry {
	entries := []Entry{{Key: EndedDueKey(rules.EndedDue(ended), sid)}}
	if ended.GetSurvivors() != records.Survivors_SURVIVORS_UNSPECIFIED {
		entries = append(entries, Entry{Key: EndedSubjectKey(ended.GetSubjectId(), sid)})
	}
	return entries
}

// OperationEntries returns the index entry of an operation, as if it shared none (OperationAge).
func OperationEntries(id string, o *records.Operation) []Entry {
	return []Entry{{Key: OperationAgeKey(o.GetWhen(), id)}}
}

// JobEntries returns the index entry of a job: among the running jobs or, once it is done, by age. Jobs
// without a time come first.
func JobEntries(id string, job *records.Job) []Entry {
	if job.GetPhase() != "" {
		return []Entry{{Key: JobRunningKey(id)}}
	}
	finished := cmp.Or(job.GetFinished(), math.MinInt64)
	return []Entry{{Key: Key(IndexJobAge, TimeKey(finished), Last(id))}}
}

// NotificationEntries returns the index entries of a notification.
func NotificationEntries(id string, n *records.Notification) []Entry {
	entries := []Entry{
		{Key: NotificationClientKey(n.GetClientId(), id)},
		{Key: NotificationSessionKey(n.GetSessionId(), id)},
		{Key: NotificationStateKey(n.GetState(), id)},
	}
	if n.GetDue() != 0 {
		entries = append(entries, Entry{Key: NotificationDueKey(n.GetClientId(), n.GetDue(), id)})
	}
	if n.GetPurgeAt() != 0 {
		entries = append(entries, Entry{Key: NotificationPurgeKey(n.GetPurgeAt(), id)})
	}
	return entries
}

// JournalKey returns the key of a journal entry.
func JournalKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(Key(TableJournal), number)
}

// JournalNumber is the reverse of JournalKey.
func JournalNumber(k []byte) (number uint64, ok bool) {
	rest := k[len(TableJournal):]
	if len(rest) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(rest), true
}
