package transfer

// Catching up with a source that changes.

import (
	"context"
	"iter"
	"strings"
	"testing"
)

// changing is a source with a backlog of changes. Each answer takes some of them, and new ones are added.
type changing struct {
	Store
	left, taken, come uint64
	asked             int
}

func (c *changing) Changes(_ context.Context, _ string, after uint64, _ int) (*Changes, error) {
	c.asked++
	c.left += c.come
	named := min(c.left, c.taken)
	c.left -= named
	return &Changes{Records: []Record{{}}, Through: after + named, Left: c.left}, nil
}

type taking struct{ Store }

func (taking) Import(_ context.Context, _ string, batches iter.Seq2[[]Record, error]) error {
	for _, err := range batches {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		source changing
		most   uint64 // remaining
		want   string
	}{
		"a long backlog":           {changing{left: 4_000_000, taken: 2000, come: 100}, nearEnough, ""},
		"changes at the same rate": {changing{left: 5000, taken: 2000, come: 2000}, atMost, ""},
		"changes at a higher rate": {changing{left: 5000, taken: 2000, come: 3000}, 0, "as fast"},
		"a constant backlog":       {changing{left: 400_000, taken: 2000, come: 2000}, 0, "are left"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := test.source
			m := &Move{Source: &source, Target: taking{}}
			err := m.catchUp(t.Context())
			switch {
			case test.want != "":
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v after %d answers, want an error with %q", err, source.asked, test.want)
				}
			case err != nil || source.left >= test.most:
				t.Errorf("%d left after %d answers, %v; want less than %d", source.left, source.asked, err,
					test.most)
			}
		})
	}
}
