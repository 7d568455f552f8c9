package backup_test

// An example of the package.

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
)

func Example() {
	_ = func(ctx context.Context, store transfer.Store, w io.Writer) error {
		summary, err := backup.Write(ctx, w, backup.Source{Store: store}, time.Now(), nil)
		if err != nil {
			return err
		}
		fmt.Println(summary.Of(transfer.Sessions), "sessions")
		return nil
	}
	_ = func(ctx context.Context, r io.Reader, empty transfer.Store) error {
		reader, err := backup.NewReader(r)
		if err != nil {
			return err
		}
		return backup.Restore(ctx, empty, reader, "a new id each time", nil)
	}
}
