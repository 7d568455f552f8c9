package backup

// Restores: an empty store is filled from a file and becomes active.

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// abandonTimeout bounds the cleanup after a failure.
const abandonTimeout = 30 * time.Second

// Restore fills an empty store from a file and makes it active. id must be new each time. report, if not nil,
// is called with the number of records written and the expected total. Until the whole file is read and
// written, the store is transfer.Importing and serves nothing; after an error it is transfer.Abandoned until
// another import has filled it. For a store with records it returns transfer.ErrNotEmpty and changes nothing.
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
			err = errors.Join(err, abandon(context.WithoutCancel(ctx), target, id))
		}
	}()
	if err := importAll(ctx, target, r, id, report); err != nil {
		return err
	}
	status, err := target.Status(ctx)
	if err != nil {
		return err
	}
	if !maps.Equal(r.read, status.Content) {
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

// abandon makes the store abandoned. If that fails, the store stays importing, which does not serve either.
func abandon(ctx context.Context, target transfer.Store, id string) error {
	ctx, cancel := context.WithTimeout(ctx, abandonTimeout)
	defer cancel()
	return target.Become(ctx, transfer.Transition{To: transfer.Abandoned, ID: id})
}
