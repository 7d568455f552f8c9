package kv

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// queueKey is a key in a client's queue.
func queueKey(n int) []byte {
	return layout.Key(layout.IndexNotificationDue, layout.More("app"), layout.TimeKey(int64(n)),
		layout.Last("id"))
}

// rewrite puts and deletes keys in one transaction.
func rewrite(t *testing.T, d *DB, put, deleted []int) {
	t.Helper()
	err := commit(t.Context(), d, func(tx *Tx) error {
		for _, n := range put {
			tx.Put(queueKey(n), nil)
		}
		for _, n := range deleted {
			tx.Delete(queueKey(n))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func numbers(from, to int) (list []int) {
	for n := from; n < to; n++ {
		list = append(list, n)
	}
	return list
}

// walked returns the keys that a walk finds, and how many it reads.
func walked(t *testing.T, d *DB, from []byte) (found []string, read int) {
	t.Helper()
	err := d.ViewAlong(t.Context(), func(r *Snapshot) error {
		w := r.walk(layout.IndexNotificationDue)
		defer w.close()
		defer func() { read = w.read }()
		return w.each(from, func(k []byte) ([]byte, bool, error) {
			found = append(found, string(k))
			return nil, true, nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, read
}

// Deleted keys are read once and then skipped.
func TestSpansAreReadOnce(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	const many = 1000
	keys := func(list ...int) (names []string) {
		for _, n := range list {
			names = append(names, string(queueKey(n)))
		}
		return names
	}
	expect := func(what string, most int, want ...int) {
		t.Helper()
		found, read := walked(t, d, layout.IndexNotificationDue)
		if diff := cmp.Diff(keys(want...), found); diff != "" {
			t.Errorf("%s: the walk finds (-want +got):\n%s", what, diff)
		}
		if read > most {
			t.Errorf("%s: the walk reads %d keys, want at most %d", what, read, most)
		}
	}
	rewrite(t, d, append(numbers(0, many), 3*many), nil)
	rewrite(t, d, nil, numbers(0, many))
	expect("at first", 2*many+10, 3*many)
	expect("afterwards", 10, 3*many)
	rewrite(t, d, []int{many / 2}, nil)
	expect("with one more in the middle", 10, many/2, 3*many)
	rewrite(t, d, numbers(many, 2*many), []int{many / 2})
	rewrite(t, d, nil, numbers(many, 2*many))
	expect("with as many more behind, which are gone too", 3*many+10, 3*many)
	expect("afterwards", 10, 3*many)
	rewrite(t, d, nil, []int{3 * many})
	expect("with nothing left", 10)
	rewrite(t, d, []int{many / 4}, nil)
	expect("with one that came back", 10, many/4)
}

// Concurrent writers put, delete and read keys. Each finds a key that it has put until it deletes it.
func TestSpansHideNoKey(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	const writers, rounds, span = 4, 20, 20 * minSpan
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers, group sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				walked(t, d, layout.IndexNotificationDue)
			}
		})
	}
	for writer := range writers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(writer)))
			for range rounds {
				// Each writer has the numbers with its own remainder.
				var mine []int
				for n := writer; n < span; n += writers {
					if random.IntN(3) == 0 {
						mine = append(mine, n)
					}
				}
				rewrite(t, d, mine, nil)
				from := mine[random.IntN(len(mine))]
				found, _ := walked(t, d, queueKey(from))
				there := map[string]bool{}
				for _, name := range found {
					there[name] = true
				}
				for _, n := range mine {
					if n >= from && !there[string(queueKey(n))] {
						t.Errorf("a walk does not find key %d, which was put", n)
						return
					}
				}
				rewrite(t, d, nil, mine)
			}
		})
	}
	group.Wait()
	stop()
	readers.Wait()
	if found, _ := walked(t, d, layout.IndexNotificationDue); len(found) > 0 {
		t.Errorf("%d keys are left", len(found))
	}
	if n := d.committer.tombstones.known.Len(); n == 0 || n > 4 {
		t.Errorf("%d spans at the end, want one or a few", n)
	}
}

// A queue that grows within a span does not create a span for each entry.
func TestSpansAreBounded(t *testing.T) {
	t.Parallel()
	g := newTombstones()
	g.observe().found([]byte("qd"), []byte("qe"))
	for n := range 10_000 {
		g.put([]string{fmt.Sprintf("qd%06d", n)})
	}
	if n := g.known.Len(); n > 2 {
		t.Errorf("%d spans, want one before the key and one after it", n)
	}
	for n := range maxSpans + 10 {
		g.observe().found(fmt.Appendf(nil, "x%06d", 2*n), fmt.Appendf(nil, "x%06d", 2*n+1))
	}
	if n := g.known.Len(); n > maxSpans {
		t.Errorf("%d spans, want at most %d", n, maxSpans)
	}
}

// While a transaction commits, it is unknown whether a new snapshot has its keys.
func TestSpanOfASnapshotDuringCommit(t *testing.T) {
	t.Parallel()
	g := newTombstones()
	g.put([]string{"qd5"})
	l := g.observe()
	g.committed(nil)
	l.found([]byte("qd1"), []byte("qd9"))
	for from, want := range map[string]string{"qd1": "qd5", "qd5": "qd5", "qd6": "qd9"} {
		if got := l.jump([]byte(from)); string(got) != want {
			t.Errorf("from %s the first possible key is %s, want %s", from, got, want)
		}
	}
}
