package layout

// Names of rows in logs and findings, without secrets.

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// PlaceOf returns the table of a key, and the ids in it. The keys of sessions and grants are left out: the
// hash of a secret is not logged either.
func PlaceOf(k []byte) (table, id string) {
	t := TableOf(k)
	if t == nil {
		return "?", fmt.Sprintf("prefix %q, %d bytes", k[:min(len(k), 1)], len(k))
	}
	rest := k[len(t.Prefix):]
	switch prefix := string(t.Prefix); prefix {
	case string(TableCookie):
		return t.Name, ""
	case string(IndexListing), string(IndexExpiry), string(IndexEndedDue), string(IndexOperationAge),
		string(IndexJobAge), string(IndexNotificationPurge):
		return t.Name, timedID(rest)
	case string(IndexSubject), string(IndexClient), string(IndexNotificationDue):
		owner, position, _ := bytes.Cut(rest, []byte{0})
		return t.Name, fmt.Sprintf("%s of %q", timedID(position), owner)
	case string(TableClientUse), string(IndexEndedSubject), string(IndexNotificationState),
		string(IndexNotificationClient), string(IndexNotificationSession):
		first, second, _ := bytes.Cut(rest, []byte{0})
		return t.Name, fmt.Sprintf("%q of %q", second, first)
	case string(TableGrant):
		return t.Name, grantID(rest)
	case string(IndexGrantDue):
		return t.Name, grantID(rest[min(len(rest), TimeKeyLength):])
	case string(indexGrantUsed):
		return t.Name, grantID(rest[min(len(rest), usedSessionLength):])
	case string(IndexGrantAll):
		return t.Name, serialID(rest)
	case string(IndexGrantSession), string(IndexGrantSubject), string(IndexGrantClient):
		owner, position, _ := bytes.Cut(rest, []byte{0})
		return t.Name, fmt.Sprintf("%s of %q", serialID(position), owner)
	case string(IndexGrantLoose):
		parts := bytes.SplitN(rest, []byte{0}, 3)
		if len(parts) < 3 {
			return t.Name, ""
		}
		return t.Name, fmt.Sprintf("%s of %q and client %q", grantID(parts[2]), parts[0], parts[1])
	case string(TableFamily): // may be followed by a member
		family, member, found := bytes.Cut(rest, []byte{0})
		if found {
			return t.Name, fmt.Sprintf("%s in %q", grantID(member), family)
		}
		return t.Name, fmt.Sprintf("%q", family)
	case string(TableCount):
		if len(rest) == 0 {
			return t.Name, "all sessions"
		}
		return t.Name, fmt.Sprintf("client %q", rest)
	case string(TableJournal):
		if number, ok := JournalNumber(k); ok {
			return t.Name, fmt.Sprint(number)
		}
		return t.Name, ""
	case string(TableLedger):
		if bytes.Equal(k, ContentsKey) {
			return t.Name, "contents"
		}
		return t.Name, ""
	}
	return t.Name, fmt.Sprintf("%q", rest)
}

// timedID returns the id after a time.
func timedID(position []byte) string {
	return fmt.Sprintf("%q", position[min(len(position), TimeKeyLength):])
}

// grantID returns the type and serial of a grant, which do not reveal its key.
func grantID(b []byte) string {
	ref, ok := records.RefOf(b)
	if !ok {
		return "a grant of no type"
	}
	return fmt.Sprintf("%s %s", ref.Type, hex.EncodeToString(records.GrantSerial(ref)))
}

func serialID(position []byte) string {
	return "grant " + hex.EncodeToString(position[min(len(position), TimeKeyLength):])
}
