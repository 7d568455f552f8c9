package offline

// The command import restores a backup.

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
)

func restore(ctx context.Context, c *call) (code int, err error) {
	file, in := c.args[0], c.Stdin
	if file != standard {
		opened, err := os.Open(file)
		if err != nil {
			return Failed, err
		}
		defer opened.Close()
		in = opened
	}
	var counted counter
	// A file that is not a backup, or has an unknown format, is refused before the folder is touched.
	r, err := backup.NewReader(io.TeeReader(bufio.NewReaderSize(in, buffer), &counted))
	if err != nil {
		return Failed, fmt.Errorf("%s: %w", file, err)
	}
	if err := c.importable(ctx); err != nil {
		return Failed, err
	}
	p := c.progress("import")
	id, err := c.restore(ctx, r, p)
	p.end()
	if err != nil {
		return Failed, err
	}
	header := r.Header()
	done := &copied{
		File: file, Bytes: int64(counted), Taken: header.Taken, State: header.State,
		Seconds: p.took().Seconds(), Summary: r.Summary(), StoreID: id,
	}
	c.report(done, "imported", file, c.place.String())
	if !c.json {
		fmt.Fprintf(c.Stdout,
			"The store is as it was on %s: what was ended, revoked or used since then is live again.\n",
			header.Taken.UTC().Format(time.RFC1123))
		fmt.Fprintf(c.Stdout, "Its id is %s: a server that pins its store needs the new one.\n", id)
	}
	return Done, nil
}

// importable refuses a store with records, checking it read-only. The target of an incomplete import is
// accepted: it is emptied.
func (c *call) importable(ctx context.Context) error {
	if vacant, err := c.place.Vacant(ctx); err != nil || vacant {
		return err
	}
	return c.readOnly(ctx, func(s Store) error {
		status, err := s.Transfer().Status(ctx)
		switch {
		case err != nil:
			return err
		case status.State == transfer.Importing || status.State == transfer.Abandoned:
			return nil
		case status.Records() > 0:
			return fmt.Errorf("%s: %w, it has %d records: import into %s", c.place, transfer.ErrNotEmpty,
				status.Records(), c.engine.Empty)
		}
		return nil
	})
}

// restore returns the id of the new store. It differs from that of the store in the backup, which may still
// exist.
func (c *call) restore(ctx context.Context, r *backup.Reader, p *progress) (id string, err error) {
	s, err := c.place.Open(ctx)
	if err != nil {
		return "", err
	}
	description, err := s.Describe(ctx)
	if err != nil {
		return "", errors.Join(err, s.Close())
	}
	err = backup.Restore(ctx, s.Transfer(), r, rand.Text(), p.report)
	if err != nil {
		err = fmt.Errorf("%w; %s is not complete and does not serve: remove it, or import again", err,
			c.place)
	}
	return description.StoreID, errors.Join(err, s.Close())
}
