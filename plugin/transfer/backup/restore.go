package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// giveUpTimeout bounds what is done after a failure.
const giveUpTimeout = 30 * time.Second

// Restore fills an empty store from a file and makes it active. id is new each time. report, if not nil, is
// told how many of about how many records are written. Until everything is written and the file was found
// whole, the store is transfer.Importing and serves nothing; after an error it is transfer.Abandoned, and so
// it stays until another import has filled it. A store with something in it is transfer.ErrNotEmpty and not
// touched.
func Restore(
	ctx context.Context, target transfer.Store, r *Reader, id string, report func(done, total int64),
) (err error) {
	peer := "a backup of " + r.header.Taken.UTC().Format(time.RFC3339)
	if err := target.Become(ctx,
		transfer.Transition{To: transfer.Importing, ID: id, Peer: peer}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, giveUp(context.WithoutCancel(ctx), target, id))
		}
	}()
	if err := importAll(ctx, target, r, id, report); err != nil {
		return err
	}
	status, err := target.Status(ctx)
	if err != nil {
		return err
	}
	if !r.read.are(status.Content) {
		return fmt.Errorf("%w: the store holds %d records after the import of %d", transfer.ErrMismatch,
			status.Records(), r.summary.Records)
	}
	return target.Become(ctx, transfer.Transition{To: transfer.Active, ID: id, Peer: peer})
}

func importAll(
	ctx context.Context, target transfer.Store, r *Reader, id string, report func(done, total int64),
) error {
	done := int64(0)
	return target.Import(ctx, id, func(yield func([]transfer.Record, error) bool) {
		for records, err := range r.Batches(ctx) {
			if !yield(records, err) || err != nil {
				return
			}
			if done += int64(len(records)); report != nil {
				report(done, max(done, r.header.Records))
			}
		}
	})
}

// giveUp leaves the store unfit to serve. Where that cannot be said to it, it stays importing, which comes to
// the same.
func giveUp(ctx context.Context, target transfer.Store, id string) error {
	ctx, cancel := context.WithTimeout(ctx, giveUpTimeout)
	defer cancel()
	return target.Become(ctx, transfer.Transition{To: transfer.Abandoned, ID: id})
}
