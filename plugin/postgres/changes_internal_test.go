package postgres

// Tests of reading the journal.

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Between counting and reading the journal, it grows.
func TestChangesDuringWrites(t *testing.T) {
	t.Parallel()
	settings := emptyStore(t)
	config := mustOpen(t, settings).pool.Config()
	hook := &beforeQuery{part: ".journal ORDER BY id"}
	config.ConnConfig.Tracer = hook
	e := serve(t, config, settings)
	signIn := func(names ...string) {
		for _, name := range names {
			if err := (&tokenFamily{name: name}).signIn(context.WithoutCancel(t.Context()), e); err != nil {
				t.Error(err)
			}
		}
	}
	store, ctx := e.Transfer(), t.Context()
	exporting := transfer.Transition{To: transfer.Exporting, ID: "move", Peer: "new", Followed: true}
	err := store.Become(ctx, exporting)
	if err != nil {
		t.Fatal(err)
	}
	signIn("one")
	hook.run = func() { signIn("two", "three") }
	first, err := store.Changes(ctx, "move", 0, 1000)
	if err != nil || len(first.Records) == 0 || first.Left != 0 {
		t.Fatalf("%+v, %v; want the counted changes and none left", first, err)
	}
	second, err := store.Changes(ctx, "move", first.Through, 1000)
	if err != nil || len(second.Records) == 0 || second.Left != 0 {
		t.Fatalf("%+v, %v; want the changes written meanwhile", second, err)
	}
	sessions := 0
	for _, r := range append(first.Records, second.Records...) {
		if r.Kind == transfer.Sessions {
			sessions++
		}
	}
	if sessions != 3 {
		t.Errorf("%d sessions in both answers, want 3", sessions)
	}
}

// The length of a long journal is read off its ids, of which some are missing. It never appears to be shorter
// than it is, and is exact at its end.
func TestChangesOfALongJournal(t *testing.T) {
	t.Parallel()
	e := openEngine(t)
	store, ctx := e.Transfer(), t.Context()
	exporting := transfer.Transition{To: transfer.Exporting, ID: "move", Peer: "new", Followed: true}
	if err := store.Become(ctx, exporting); err != nil {
		t.Fatal(err)
	}
	_, err := e.pool.Exec(ctx, e.sql(`INSERT INTO {s}.journal (id, kind, key) OVERRIDING SYSTEM VALUE
		SELECT 100 * n, 1, ('sid' || n)::bytea FROM generate_series(1, 150) n`))
	if err != nil {
		t.Fatal(err)
	}
	through := uint64(0)
	for _, want := range []struct{ records, least, most uint64 }{{100, 50, 14_900}, {50, 0, 0}, {0, 0, 0}} {
		c, err := store.Changes(ctx, "move", through, 100)
		if err != nil || uint64(len(c.Records)) != want.records || c.Left < want.least || c.Left > want.most {
			t.Fatalf("changes after %d: %d of them, %+v, %v; want %+v", through, len(c.Records), c, err, want)
		}
		through = c.Through
	}
}

// beforeQuery calls run once, before the first query that contains a text.
type beforeQuery struct {
	part string
	run  func() // nil: none
}

func (b *beforeQuery) TraceQueryStart(
	ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData,
) context.Context {
	if strings.Contains(data.SQL, b.part) && b.run != nil {
		run := b.run
		b.run = nil
		run()
	}
	return ctx
}

func (*beforeQuery) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
