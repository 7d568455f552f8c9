package layout

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Each prefix identifies its table, with any bytes after it.
func TestPrefixesIdentifyTables(t *testing.T) {
	t.Parallel()
	for i := range Tables {
		want := &Tables[i]
		for _, next := range [][]byte{nil, {0}, {'j'}, {'s'}, {0xff}} {
			k := Key(want.Prefix, next)
			if bytes.HasPrefix(k, TableJournal) && bytes.Equal(want.Prefix, TableLedger) {
				continue // its prefix begins another prefix, which is listed before it
			}
			if got := TableOf(k); got != want {
				t.Errorf("key %q is of table %v, want %q", k, got, want.Name)
			}
		}
	}
}

// Keys of times sort by time, and can be decoded.
func TestTimesSort(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC).UnixNano()
	moments := []int64{math.MinInt64, -1, 0, 1, now, math.MaxInt64}
	var keys []string
	for _, at := range moments {
		k := ExpiryKey(at, "sid")
		keys = append(keys, string(k))
		got, rest, err := SplitTimed(k, len(IndexExpiry))
		if err != nil || records.Nanos(got) != at || string(rest) != "sid" {
			t.Errorf("%d is read as %v with %q, error %v", at, got, rest, err)
		}
	}
	if !slices.IsSorted(keys) {
		t.Errorf("keys of times are not in order: %q", keys)
	}
	if _, _, err := SplitTimed(IndexExpiry, len(IndexExpiry)); !IsDamage(err) {
		t.Errorf("a key without a time: error %v, want a damage", err)
	}
}

// The place of a row does not include the key of a session or of a grant.
func TestPlacesRevealNoKey(t *testing.T) {
	t.Parallel()
	secret := ticketstore.KeyOf("secret")
	ref := grantstore.Ref{Type: grantstore.RefreshToken, Key: secret}
	g := &records.Grant{SessionId: "sid", SubjectId: "ann", ClientId: "app", Created: 1, Expires: 2}
	keys := [][]byte{CookieKey(secret), GrantKey(ref)}
	for _, entry := range append(GrantIndexes(ref, g), GrantListings(ref, g)...) {
		keys = append(keys, entry.Key)
	}
	for _, k := range keys {
		table, id := PlaceOf(k)
		if strings.Contains(table+id, string(secret[:4])) || Public(k) != "" {
			t.Errorf("the place of a row of %s is %q, and its public part %q", table, id, Public(k))
		}
	}
}
