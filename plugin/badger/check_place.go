package badger

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// placeOf names the table of a key, and the ids in it. The keys of sessions and grants stay out: a hash of a secret is nobody's business either.
func placeOf(k []byte) (table, id string) {
	t := tableOf(k)
	if t == nil {
		return "?", fmt.Sprintf("prefix %q, %d bytes", k[:min(len(k), 1)], len(k))
	}
	rest := k[len(t.prefix):]
	switch prefix := string(t.prefix); prefix {
	case string(tableCookie):
		return t.name, ""
	case string(indexListing), string(indexExpiry), string(indexEndedDue), string(indexOperationAge), string(indexJobAge), string(indexNoticePurge):
		return t.name, timedID(rest)
	case string(indexSubject), string(indexClient), string(indexNoticeDue):
		owner, position, _ := bytes.Cut(rest, []byte{0})
		return t.name, fmt.Sprintf("%s of %q", timedID(position), owner)
	case string(tableClientUse), string(indexEndedSubject), string(indexNoticeState), string(indexNoticeClient), string(indexNoticeSession):
		first, second, _ := bytes.Cut(rest, []byte{0})
		return t.name, fmt.Sprintf("%q of %q", second, first)
	case string(tableGrant):
		return t.name, grantID(rest)
	case string(indexGrantDue):
		return t.name, grantID(rest[min(len(rest), timeKeyLength):])
	case string(indexGrantUsed):
		return t.name, grantID(rest[min(len(rest), usedSessionLength):])
	case string(indexGrantAll):
		return t.name, serialID(rest)
	case string(indexGrantSession), string(indexGrantSubject), string(indexGrantClient):
		owner, position, _ := bytes.Cut(rest, []byte{0})
		return t.name, fmt.Sprintf("%s of %q", serialID(position), owner)
	case string(indexGrantLoose):
		parts := bytes.SplitN(rest, []byte{0}, 3)
		if len(parts) < 3 {
			return t.name, ""
		}
		return t.name, fmt.Sprintf("%s of %q and client %q", grantID(parts[2]), parts[0], parts[1])
	case string(tableFamily): // a member follows where one is meant
		family, member, found := bytes.Cut(rest, []byte{0})
		if found {
			return t.name, fmt.Sprintf("%s in %q", grantID(member), family)
		}
		return t.name, fmt.Sprintf("%q", family)
	case string(tableCount):
		if len(rest) == 0 {
			return t.name, "all sessions"
		}
		return t.name, fmt.Sprintf("client %q", rest)
	case string(tableJournal):
		if number, ok := journalNumber(k); ok {
			return t.name, fmt.Sprint(number)
		}
		return t.name, ""
	case string(tableLedger):
		if bytes.Equal(k, contentsKey) {
			return t.name, "contents"
		}
		return t.name, ""
	}
	return t.name, fmt.Sprintf("%q", rest)
}

// timedID is what follows a moment.
func timedID(position []byte) string {
	return fmt.Sprintf("%q", position[min(len(position), timeKeyLength):])
}

// grantID names a grant by its type and its serial, which does not give its key away.
func grantID(b []byte) string {
	ref, ok := records.RefOf(b)
	if !ok {
		return "a grant of no type"
	}
	return fmt.Sprintf("%s %s", ref.Type, hex.EncodeToString(serial(ref)))
}

func serialID(position []byte) string {
	return "grant " + hex.EncodeToString(position[min(len(position), timeKeyLength):])
}
