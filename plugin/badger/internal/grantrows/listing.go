package grantrows

// Scans of listings of grants, which include companions.

import (
	"bytes"
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Listing is a reader whose Scan shows the entries of ga, gs, gu and gc as if each grant had its own. The
// prefix of a scan must end before the creation.
//
// A companion has the same creation as its principal. So a scan proceeds from one creation to the next,
// collects the grants of each, and shows them in order. Hosts' times have nanosecond resolution: few grants
// share a creation.
type Listing struct {
	kv.Reader
	// rows caches the rows read for the current creation, which callers read again.
	rows map[string][]byte
}

// NewListing returns a listing. It is not safe for concurrent use.
func NewListing(r kv.Reader) *Listing { return &Listing{Reader: r, rows: map[string][]byte{}} }

// Get implements kv.Reader.
func (l *Listing) Get(k []byte) (value []byte, err error) {
	if value, known := l.rows[string(k)]; known {
		return value, nil
	}
	return l.Reader.Get(k)
}

// entry is a key of an index and the reference of its grant, as bytes.
type entry struct{ key, ref []byte }

// moment holds the grants with one creation under a prefix.
type moment struct {
	at      []byte // the key up to the serial
	entries []entry
}

// Scan implements kv.Reader.
func (l *Listing) Scan(prefix, from []byte, reverse bool, f kv.Visit) error {
	length := len(prefix) + layout.TimeKeyLength
	begin := from
	if len(from) >= length { // a principal may be on the other side of its companion
		begin = bytes.Clone(from[:length])
		if reverse {
			begin = append(begin, bytes.Repeat([]byte{0xff}, records.SerialLength+1)...)
		}
	}
	now, stopped := moment{}, false
	show := func() (goOn bool, err error) {
		goOn, err = now.show(from, reverse, f)
		stopped = !goOn
		now.entries = now.entries[:0]
		clear(l.rows)
		return goOn, err
	}
	err := l.Reader.Scan(prefix, begin, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
		v, err := value()
		if err != nil {
			return false, err
		}
		if at := k[:min(length, len(k))]; !bytes.Equal(at, now.at) {
			if goOn, err := show(); err != nil || !goOn {
				return false, err
			}
			now.at = at
		}
		now.entries = append(now.entries, entry{k, v})
		return true, l.addCompanions(&now, v)
	})
	if err != nil || stopped {
		return err
	}
	_, err = show()
	return err
}

// addCompanions adds the companions of a grant. An unreadable companion is reported when its entry is
// followed.
func (l *Listing) addCompanions(now *moment, ref []byte) error {
	of, ok := records.RefOf(ref)
	if !ok || of.Type != grantstore.RefreshToken && of.Type != grantstore.AuthorizationCode {
		return nil
	}
	principal, err := l.load(of)
	if layout.IsDamage(err) || err == nil && principal == nil {
		return l.addOrphans(now, of)
	}
	if err != nil {
		return err
	}
	candidates, err := Candidates(of, principal, func() ([]grantstore.Ref, error) {
		return Family(l.Reader, principal.GetRequestId())
	})
	if err != nil {
		return l.StepOver(err)
	}
	for _, ref := range candidates {
		g, err := l.load(ref)
		switch {
		case err != nil && !layout.IsDamage(err):
			return err
		case err == nil && (g == nil || !layout.Companion(ref, g, principal)):
			continue
		}
		// A damaged grant keeps its place, so that the follower of its entry can skip it or set it aside.
		now.entries = append(now.entries,
			entry{layout.Key(now.at, records.GrantSerial(ref)), records.RefBytes(ref)})
	}
	return nil
}

// addOrphans adds the possible companions of a grant that cannot be read or was set aside. Since its row is
// needed to find them, all families are searched.
func (l *Listing) addOrphans(now *moment, of grantstore.Ref) error {
	visit := func(k []byte, _ func() ([]byte, error)) (bool, error) {
		members, err := Family(l.Reader, string(k[len(layout.TableFamily):]))
		if err != nil || !slices.Contains(members, of) {
			return true, l.StepOver(err)
		}
		for _, ref := range members {
			g, err := l.load(ref)
			if layout.IsDamage(err) || err == nil && g == nil || !layout.Leads(of.Type, ref.Type) {
				continue
			}
			if err != nil {
				return false, err
			}
			entry := entry{layout.Key(now.at, records.GrantSerial(ref)), records.RefBytes(ref)}
			if slices.ContainsFunc(layout.GrantListings(ref, g), func(own layout.Entry) bool {
				return bytes.Equal(own.Key, entry.key)
			}) {
				now.entries = append(now.entries, entry)
			}
		}
		return false, nil
	}
	return l.Reader.Scan(layout.TableFamily, nil, false, visit)
}

// load reads a grant and caches its row.
func (l *Listing) load(ref grantstore.Ref) (*records.Grant, error) {
	k := layout.GrantKey(ref)
	value, err := l.Get(k)
	if err != nil || value == nil {
		return nil, err
	}
	l.rows[string(k)] = value
	return Load(l, ref)
}

// show calls f with the entries of a moment from a key on, without duplicates, and reports whether to
// continue.
func (m *moment) show(from []byte, reverse bool, f kv.Visit) (goOn bool, err error) {
	// A principal may add an entry that exists, as in a read-only store of format 3: the duplicates are
	// equal, and only one is shown.
	slices.SortStableFunc(m.entries, func(a, b entry) int {
		if reverse {
			a, b = b, a
		}
		return bytes.Compare(a.key, b.key)
	})
	for i, e := range m.entries {
		if i > 0 && bytes.Equal(e.key, m.entries[i-1].key) {
			continue
		}
		if order := bytes.Compare(e.key, from); from != nil && (order < 0 != reverse) && order != 0 {
			continue
		}
		if goOn, err := f(e.key, func() ([]byte, error) { return e.ref, nil }); err != nil || !goOn {
			return false, err
		}
	}
	return true, nil
}
