package badger

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A scan within a group sees what is stored, as the changes before it have left it, in order and from any key.
func TestScanMergesWhatIsPending(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{}
	change := func(tx *tx) {
		for range 20 {
			k := fmt.Sprintf("T%02d", random.IntN(60))
			if random.IntN(3) == 0 {
				tx.delete([]byte(k))
				delete(want, k)
				continue
			}
			want[k] = fmt.Sprint(random.IntN(1000))
			tx.put([]byte(k), []byte(want[k]))
		}
	}
	for range 50 {
		if err := e.update(t.Context(), func(tx *tx) error { change(tx); return nil }); err != nil {
			t.Fatal(err)
		}
		err := e.update(t.Context(), func(first *tx) error {
			change(first)
			first.join(first.measure())
			second := &tx{group: first.group, writes: map[string]write{}}
			for _, from := range []string{"", "T17", "T30"} {
				for _, reverse := range []bool{false, true} {
					compareScan(t, second, want, from, reverse)
				}
			}
			first.reset()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func compareScan(t *testing.T, r reader, stored map[string]string, from string, reverse bool) {
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
	err := r.scan([]byte("T"), start, reverse, func(k []byte, value func() ([]byte, error)) (bool, error) {
		v, err := value()
		got = append(got, string(k)+"="+string(v))
		return true, err
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("scan from %q, reverse %t:\n got %s\nwant %s\nerror %v", from, reverse, strings.Join(got, " "), strings.Join(want, " "), err)
	}
	got = nil
	_ = r.scan([]byte("T"), start, reverse, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		got = append(got, string(k))
		return len(got) < 2, nil
	})
	if len(got) != min(2, len(want)) {
		t.Errorf("a scan that was to stop after 2 keys met %d", len(got))
	}
}
