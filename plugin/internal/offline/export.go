package offline

// The command export writes a backup. Its report is used by import too.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
)

// standard is the name of standard input and output.
const standard = "-"

// buffer is the size of reads from a file.
const buffer = 1 << 20

// copied is the report of export and import.
type copied struct {
	File    string         `json:"file"`
	Bytes   int64          `json:"bytes"`
	Taken   time.Time      `json:"taken"`
	State   transfer.State `json:"state"`
	Seconds float64        `json:"seconds"`
	// StoreID is the id of the store created by import.
	StoreID string `json:"store_id,omitempty"`
	*backup.Summary
}

func (c *call) report(done *copied, verb, from, to string) {
	if c.json {
		c.answer(done)
		return
	}
	w := c.Stdout
	if to == standard {
		w = c.Stderr
	}
	fmt.Fprintf(w, "%s %s to %s: %s sessions, %s grants, %s records in all, %s in %.1f s\n", verb, from, to,
		Grouped(done.Of(transfer.Sessions)), Grouped(done.Of(transfer.Grants)), Grouped(done.Records),
		Size(done.Bytes), done.Seconds)
}

func export(ctx context.Context, c *call) (code int, err error) {
	file := c.args[0]
	if file == standard && c.json {
		return Failed, errors.New("-json and a backup cannot both go to standard output: name a file")
	}
	if !c.force && file != standard && smallfile.Exists(file) {
		return Failed, fmt.Errorf("%s exists: give -force to replace it", file)
	}
	done := &copied{File: file, Taken: c.Now().UTC()}
	p := c.progress("export")
	err = c.readOnly(ctx, func(s Store) error {
		status, err := c.exportable(ctx, s)
		if err != nil {
			return err
		}
		done.State = status.State
		write := func(w io.Writer) (err error) {
			var counted counter
			source := backup.Source{Store: s.Transfer(), Description: c.engine.About}
			done.Summary, err = backup.Write(ctx, io.MultiWriter(w, &counted), source, done.Taken, p.report)
			done.Bytes = int64(counted)
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
	c.report(done, "exported", c.place.String(), file)
	return Done, nil
}

// exportable refuses a store of an older format, and warns about a superseded one.
func (c *call) exportable(ctx context.Context, s Store) (*transfer.Status, error) {
	if format, newest := s.Format(); format < newest {
		return nil, fmt.Errorf("the store has format %d: migrate it to %d first (%s migrate)",
			format, newest, c.Name)
	}
	status, err := s.Transfer().Status(ctx)
	if err != nil {
		return nil, err
	}
	if status.State == transfer.Superseded || status.State == transfer.Fenced {
		c.logger.WarnContext(ctx,
			"another store has replaced this one, or may have: the backup holds the content of that time",
			"state", status.State, "other", status.Peer)
	}
	return status, nil
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(data []byte) (int, error) {
	*c += counter(len(data))
	return len(data), nil
}
