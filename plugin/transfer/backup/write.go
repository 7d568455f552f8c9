package backup

// Writing backup files.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Source is a store and its backend's description.
type Source struct {
	Store transfer.Store
	ticketstore.Description
}

// Write writes a backup of a store, which may serve meanwhile and is not changed. taken is the time in the
// header. report, if not nil, is called with the number of records written and the total, an estimate while
// the store serves. What was written before an error is not a valid backup, because it has no summary. For an
// incomplete store it returns transfer.ErrIncomplete.
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
		State: before.State, Taken: taken.UTC(), Records: before.Records(),
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
	// The contents can be compared only if the store did not change meanwhile.
	if maps.Equal(before.Content, after.Content) && !maps.Equal(written, before.Content) {
		return nil, fmt.Errorf("%w: the store's own sums say that its records were damaged",
			transfer.ErrMismatch)
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
				return nil, errors.New("the store exports an empty record")
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
