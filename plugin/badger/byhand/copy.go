package byhand

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
)

// standard is the name of standard input and output.
const standard = "-"

// buffer is how much is read from and written to a file at a time.
const buffer = 1 << 20

// copied is the answer of export and import.
type copied struct {
	File    string         `json:"file"`
	Bytes   int64          `json:"bytes"`
	Taken   time.Time      `json:"taken"`
	State   transfer.State `json:"state"`
	Seconds float64        `json:"seconds"`
	// StoreID is that of the store that import has made.
	StoreID string `json:"store_id,omitempty"`
	*backup.Summary
}

func (c *call) tell(done *copied, verb, from, to string) {
	if c.json {
		c.answer(done)
		return
	}
	w := c.Stdout
	if to == standard {
		w = c.Stderr
	}
	fmt.Fprintf(w, "%s %s to %s: %s sessions, %s grants, %s records in all, %s in %.1f s\n", verb, from, to,
		grouped(done.Of(transfer.Sessions)), grouped(done.Of(transfer.Grants)), grouped(done.Records), size(done.Bytes), done.Seconds)
}

func export(ctx context.Context, c *call) (code int, err error) {
	file := c.args[1]
	if file == standard && c.json {
		return Failed, errors.New("-json and a backup cannot both go to standard output: name a file")
	}
	done := &copied{File: file, Taken: c.Now().UTC()}
	p := c.progress("export")
	err = c.still(ctx, func(e *badger.Engine) error {
		status, err := c.exportable(ctx, e)
		if err != nil {
			return err
		}
		done.State = status.State
		write := func(w io.Writer) (err error) {
			counted := &counter{w: w}
			source := backup.Source{Store: e.Transfer(), Description: badger.About()}
			done.Summary, err = backup.Write(ctx, counted, source, done.Taken, p.report)
			done.Bytes = counted.n
			return err
		}
		if file == standard {
			return write(c.Stdout)
		}
		return smallfile.WriteFrom(file, 0o600, write)
	})
	p.end()
	if err != nil {
		return Failed, err
	}
	done.Seconds = p.took().Seconds()
	c.tell(done, "exported", c.settings.Path, file)
	return Done, nil
}

// exportable refuses what would make no good backup, and warns of what may not be what is wanted.
func (c *call) exportable(ctx context.Context, e *badger.Engine) (*transfer.Status, error) {
	if format, newest := e.Format(); format < newest {
		return nil, fmt.Errorf("the store has format %d: bring it to %d first (%s migrate)", format, newest, c.Name)
	}
	status, err := e.Transfer().Status(ctx)
	if err != nil {
		return nil, err
	}
	if status.State == transfer.Superseded || status.State == transfer.Fenced {
		c.logger.WarnContext(ctx, "another store has taken its place, or may have: the backup holds what this one held then",
			"state", status.State, "other", status.Peer)
	}
	return status, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(data []byte) (int, error) {
	n, err := c.w.Write(data)
	c.n += int64(n)
	return n, err
}

func restore(ctx context.Context, c *call) (code int, err error) {
	file, in := c.args[1], c.Stdin
	if file != standard {
		opened, err := os.Open(file)
		if err != nil {
			return Failed, err
		}
		defer opened.Close()
		in = opened
	}
	counted := &countingReader{r: bufio.NewReaderSize(in, buffer)}
	// A file that is no backup, or one that is not for us, is refused before the folder is touched.
	r, err := backup.NewReader(counted)
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
		File: file, Bytes: counted.n, Taken: header.Taken, State: header.State, Seconds: p.took().Seconds(), Summary: r.Summary(),
		StoreID: id,
	}
	c.tell(done, "imported", file, c.settings.Path)
	if !c.json {
		fmt.Fprintf(c.Stdout, "The store is as it was on %s: what was ended, revoked or used up since then is not.\n",
			header.Taken.UTC().Format(time.RFC1123))
		fmt.Fprintf(c.Stdout, "Its id is %s: a server that pins its store must be told of it.\n", id)
	}
	return Done, nil
}

// importable refuses a store with something in it without opening it for changes: one that was being filled is emptied instead.
func (c *call) importable(ctx context.Context) error {
	if err := badger.CheckOwner(c.settings.Path); err != nil {
		return err
	}
	if entries, err := os.ReadDir(c.settings.Path); len(entries) == 0 && (err == nil || errors.Is(err, os.ErrNotExist)) {
		return nil
	}
	return c.still(ctx, func(e *badger.Engine) error {
		status, err := e.Transfer().Status(ctx)
		switch {
		case err != nil:
			return err
		case status.State == transfer.Importing || status.State == transfer.Abandoned:
			return nil
		case status.Records() > 0:
			return fmt.Errorf("%s: %w, it has %d records: import into an empty folder", c.settings.Path, transfer.ErrNotEmpty, status.Records())
		}
		return nil
	})
}

// restore returns the id of the store that it has made. It is a new one: the store that the backup was taken of may live on.
func (c *call) restore(ctx context.Context, r *backup.Reader, p *progress) (id string, err error) {
	e, err := badger.Open(ctx, c.settings, c.logger)
	if err != nil {
		return "", err
	}
	description, err := e.Describe(ctx)
	if err != nil {
		return "", errors.Join(err, e.Close())
	}
	err = backup.Restore(ctx, e.Transfer(), r, rand.Text(), p.report)
	if err != nil {
		err = fmt.Errorf("%w; %s is not complete and does not serve: remove it, or import again", err, c.settings.Path)
	}
	return description.StoreID, errors.Join(err, e.Close())
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func migrate(ctx context.Context, c *call) (code int, err error) {
	if err := badger.CheckOwner(c.settings.Path); err != nil {
		return Failed, err
	}
	from, to, err := badger.Migrate(ctx, c.settings, c.logger)
	if err != nil {
		return Failed, err
	}
	if c.json {
		c.answer(struct {
			From int `json:"from"`
			To   int `json:"to"`
		}{from, to})
		return Done, nil
	}
	if from == to {
		fmt.Fprintf(c.Stdout, "%s has format %d, the newest\n", c.settings.Path, to)
	} else {
		fmt.Fprintf(c.Stdout, "%s had format %d and has format %d now\n", c.settings.Path, from, to)
	}
	return Done, nil
}
