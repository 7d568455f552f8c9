package transfer_test

// An example of the package.

import (
	"context"
	"fmt"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

func Example() {
	// A host with both stores open.
	_ = func(ctx context.Context, source, target transfer.Store) error {
		move := &transfer.Move{
			Source: source, Target: target, ID: "a new one each time", SourceName: "old", TargetName: "new",
			Report: func(p transfer.Progress) { fmt.Println(p.Phase, p.Copied, "of", p.Total) },
		}
		return move.Run(ctx)
	}
}
