package kv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// A scan in a group returns the stored rows with the earlier changes of the group, in order and from any key.
func TestScanMergesPendingWrites(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	change := func(tx *Tx) {
		for range 20 {
			k := fmt.Sprintf("T%02d", random.IntN(60))
			if random.IntN(3) == 0 {
				tx.Delete([]byte(k))
				delete(want, k)
				continue
			}
			want[k] = fmt.Sprint(random.IntN(1000))
			tx.Put([]byte(k), []byte(want[k]))
		}
	}
	for range 50 {
		if err := commit(t.Context(), d, func(tx *Tx) error { change(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		err := commit(t.Context(), d, func(first *Tx) error {
			change(first)
			first.join(first.measure())
			second := newTx(first.group)
			for _, from := range []string{"", "T17", "T30"} {
				for _, reverse := range []bool{false, true} {
					compareScan(t, second, want, from, reverse)
				}
			}
			first.Reset()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func compareScan(t *testing.T, r Reader, stored map[string]string, from string, reverse bool) {
	t.Helper()
	var want, got []string
	for k, v := range stored {
		if from == "" || (k >= from) != reverse || k == from {
			want = append(want, k+"="+v)
		}
	}
	slices.Sort(want)
	if reverse {
		slices.Reverse(want)
	}
	var start []byte
	if from != "" {
		start = []byte(from)
	}
	err := r.Scan([]byte("T"), start, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
		v, err := value()
		got = append(got, string(k)+"="+string(v))
		return true, err
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("scan from %q, reverse %t:\n got %s\nwant %s\nerror %v", from, reverse,
			strings.Join(got, " "), strings.Join(want, " "), err)
	}
	got = nil
	_ = r.Scan([]byte("T"), start, reverse, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		got = append(got, string(k))
		return len(got) < 2, nil
	})
	if len(got) != min(2, len(want)) {
		t.Errorf("a scan that stops after 2 keys got %d", len(got))
	}
}

// A walk over many rows stops when its context ends and when the engine closes.
func TestCanceledWalks(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	err := commit(t.Context(), d, func(tx *Tx) error {
		for i := range 4 * checkInterval {
			tx.Put(testKey(fmt.Appendf(nil, "%05d", i)), nil)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	rows := 0
	err = d.View(ctx, func(r *Snapshot) error {
		return r.Scan([]byte("T"), nil, false, func([]byte, func() ([]byte, error)) (bool, error) {
			if rows++; rows == 1 {
				cancel()
			}
			return true, nil
		})
	})
	if !errors.Is(err, context.Canceled) || rows > checkInterval {
		t.Errorf("%d rows and error %v after the cancellation, want at most %d and context.Canceled", rows,
			err, checkInterval)
	}
	err = d.View(t.Context(), func(r *Snapshot) error {
		return r.Scan([]byte("T"), nil, false, func([]byte, func() ([]byte, error)) (bool, error) {
			d.stop()
			return true, nil
		})
	})
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a walk during Close: error %v, want ErrUnavailable", err)
	}
}

// A group reuses the maps of the previous one, emptied.
func TestGroupBeginsEmpty(t *testing.T) {
	t.Parallel()
	g := newGroup(Snapshot{}, 0)
	fill := func(n int) {
		tx := newTx(g)
		defer tx.done()
		for i := range n {
			tx.Put(fmt.Appendf(nil, "T%d", i), nil)
		}
		tx.join(tx.measure())
	}
	for _, n := range []int{10, 3, 1000, 1, 20} {
		fill(n)
		if len(g.writes) != n {
			t.Fatalf("a group has %d writes, want %d", len(g.writes), n)
		}
		g.before["read"] = nil
		g = g.next(Snapshot{})
		if len(g.writes) != 0 || len(g.before) != 0 || len(g.spare) != 0 || g.size != 0 {
			t.Fatalf("after a group with %d writes, the next one begins with %v, %v and %v",
				n, g.writes, g.before, g.spare)
		}
	}
	if g.room > 100 {
		t.Errorf("after a small group, the maps have a capacity of %d", g.room)
	}
}
