package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Source is a store and what its backend says of itself.
type Source struct {
	Store transfer.Store
	ticketstore.Description
}

// Write writes a backup of a store, which may serve meanwhile and stays as it is. taken is the moment for the
// header. report, if not nil, is told how many of how many records are written: total is a guess while the
// store serves. On an error what was written is of no use: it has no summary. A store that is not complete is
// transfer.ErrIncomplete.
func Write(
	ctx context.Context, w io.Writer, source Source, taken time.Time, report func(done, total int64),
) (*Summary, error) {
	before, err := source.Store.Status(ctx)
	if err != nil {
		return nil, err
	}
	if before.State == transfer.Importing || before.State == transfer.Abandoned {
		return nil, fmt.Errorf("%w (from %s)", transfer.ErrIncomplete, before.Peer)
	}
	if _, err := io.WriteString(w, magic); err != nil {
		return nil, err
	}
	f := &frames{w: w}
	err = f.writeJSON(frameHeader, &Header{
		Format: Format, Backend: source.Name, Version: source.Version, StoreFormat: source.Format,
		State: before.State, Taken: taken.UTC(),
		Records: before.Records(),
	})
	if err != nil {
		return nil, err
	}
	written, err := writeRecords(ctx, f, source.Store, func(done int64) {
		if report != nil {
			report(done, max(done, before.Records()))
		}
	})
	if err != nil {
		return nil, err
	}
	after, err := source.Store.Status(ctx)
	if err != nil {
		return nil, err
	}
	// What was written cannot be compared with what a store keeps account of while that changes.
	if contents(before.Content).are(after.Content) && !written.are(before.Content) {
		return nil,
			fmt.Errorf("%w: the store's own sums say that its records were damaged", transfer.ErrMismatch)
	}
	summary := written.summary()
	return summary, f.writeJSON(frameSummary, summary)
}

func writeRecords(
	ctx context.Context, f *frames, store transfer.Store, report func(done int64),
) (contents, error) {
	written, done := contents{}, int64(0)
	for batch, err := range store.Export(ctx, nil) {
		if err != nil {
			return nil, err
		}
		var payload []byte
		for i := range batch.Records {
			r := &batch.Records[i]
			if r.Deleted || len(r.Key) == 0 {
				return nil, errors.New("the store exports a record that is none")
			}
			written.add(r)
			payload = appendRecord(payload, r)
		}
		if err := f.write(frameRecords, payload); err != nil {
			return nil, err
		}
		done += int64(len(batch.Records))
		report(done)
	}
	return written, ctx.Err()
}
