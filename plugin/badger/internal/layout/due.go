package layout

// Expiry of grants: entries that grants which are due in the same second share.

import (
	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// Most grants go before they are due: an access token when its refresh token is used, a code when it is. So
// the grants that a transaction stores and that are due in the same second share an entry, which has one in
// its key and the others in its value (kv.Tx.Gather), and stays when they go. Of an entry the purge looks at
// each grant: one that has gone, or is due at another time, has another entry or needs none. Up to version 4
// an entry had one grant, at a moment that was not rounded, and went with it.

// GrantDue is the moment of the entry that a grant has, 0 where it needs none.
func GrantDue(g *records.Grant) int64 { return nextSecond(rules.GrantDue(g)) }

// GrantsDuePrefix begins the keys of entries of a moment.
func GrantsDuePrefix(due int64) []byte { return Key(IndexGrantDue, TimeKey(due)) }

// GrantDueKey is the key of an entry of that grant alone.
func GrantDueKey(due int64, ref grantstore.Ref) []byte {
	return Key(IndexGrantDue, TimeKey(due), records.RefBytes(ref))
}

// GrantsDueEntry is an entry of some grants.
func GrantsDueEntry(due int64, refs []grantstore.Ref) (k, value []byte) {
	for i, ref := range refs[1:] {
		if i > 0 {
			value = append(value, 0)
		}
		value = append(value, records.RefBytes(ref)...)
	}
	return GrantDueKey(due, refs[0]), value
}

// GrantsDue takes apart an entry: its moment, as GrantDue has it, and the grants. Up to version 2 an entry
// had its grant in the value once more.
func GrantsDue(k, value []byte) (due int64, refs []grantstore.Ref, err error) {
	at, first, err := SplitTimed(k, len(IndexGrantDue))
	if err != nil {
		return 0, nil, err
	}
	refs = make([]grantstore.Ref, 0, 1+len(value)/records.RefLength)
	for next, rest := first, value; ; {
		ref, ok := records.RefOf(next)
		if !ok {
			return 0, nil, DamagedEntry(k)
		}
		refs = append(refs, ref)
		if len(rest) == 0 {
			return nextSecond(records.Nanos(at)), refs, nil
		}
		next, rest = rest[:min(len(rest), records.RefLength)], rest[min(len(rest), records.RefLength):]
		if len(rest) > 0 {
			rest = rest[1:] // between two of them
		}
	}
}
