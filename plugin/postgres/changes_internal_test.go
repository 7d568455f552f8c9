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
