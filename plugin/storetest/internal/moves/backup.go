package moves

// Backups of a store, and restores.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
)

var backupCases = []moveCase{
	{"a restored backup is the same store, and its source is unchanged", func(p *pair) {
		s := p.SignIn("ann")
		p.Uses(s, "photos", "mail")
		refresh := p.Stored(p.Refresh(s, "photos"))
		over := p.SignIn("bob")
		p.Uses(over, "photos")
		p.End(logout.Ending{SessionID: over.SessionID})
		before := p.status(p.source)
		file := p.backup()
		p.Same(p.status(p.source), before, "the source of the backup")
		p.OK(p.restore(file), "restore")
		p.is(p.target, transfer.Active)
		p.alike()
		p.use(p.target)
		p.Same(p.Get(s), s, "session")
		p.Live(refresh)
		p.SessionGone(over)
		p.Notification(over, "photos")
		p.Renew(s, 2*time.Hour)
	}},
	{"a store with a damaged backup serves nothing until a valid one is restored", func(p *pair) {
		s := p.SignIn("ann")
		p.Each(2*p.Rows, func(int) error { return p.Tickets.Create(p.Ctx(), p.Session("ann")) })
		file := p.backup()
		for name, damaged := range map[string][]byte{
			"truncated": file[:len(file)-1], "changed near its end": changed(file, len(file)-100),
			"changed in the middle": changed(file, len(file)/2),
		} {
			p.Fails(p.restore(damaged), name, backup.ErrDamaged)
			p.is(p.target, transfer.Abandoned)
			p.unavailable("read from a partial backup", func(ctx context.Context) error {
				_, err := p.target.Tickets.Get(ctx, s.Key)
				return err
			})
			_, err := transfer.Recover(p.Ctx(), p.target.Transfer, p.open)
			p.Fails(err, "start on a partial backup", transfer.ErrIncomplete)
		}
		p.OK(p.restore(file), "restore")
		p.alike()
		p.use(p.target)
		p.SessionLives(s)
	}},
	{"a backup is not restored into a store with records", func(p *pair) {
		p.SignIn("ann")
		file := p.backup()
		p.use(p.target)
		s := p.SignIn("bob")
		p.Fails(p.restore(file), "restore into a non-empty store", transfer.ErrNotEmpty)
		p.is(p.target, transfer.Active)
		p.SessionLives(s)
	}},
	{"an incomplete store is not backed up", func(p *pair) {
		p.become(p.source, transfer.Importing)
		_, err := backup.Write(p.Ctx(), io.Discard, backup.Source{Store: p.source.Transfer}, p.Now, nil)
		p.Fails(err, "back up a target", transfer.ErrIncomplete)
	}},
	{"a backup that cannot be written ends, and the store is unchanged", func(p *pair) {
		p.Each(2*p.Rows, func(int) error { return p.Tickets.Create(p.Ctx(), p.Session("ann")) })
		for _, space := range []int{0, 10, 1000, 50_000} {
			_, err := backup.Write(p.Ctx(), &fullDisk{space}, backup.Source{Store: p.source.Transfer}, p.Now,
				nil)
			p.Fails(err, "back up to a full disk", errFull)
			p.is(p.source, transfer.Active)
		}
		p.SignIn("bob")
	}},
}

func (p *pair) backup() []byte {
	p.Helper()
	var file bytes.Buffer
	last := int64(0)
	summary, err := backup.Write(p.Ctx(), &file, backup.Source{Store: p.source.Transfer}, p.Now,
		func(done, total int64) {
			if done <= last || done > total {
				p.Errorf("progress is %d of %d after %d", done, total, last)
			}
			last = done
		})
	p.OK(err, "backup")
	if last != summary.Records {
		p.Errorf("progress ended at %d, want %d", last, summary.Records)
	}
	return file.Bytes()
}

func (p *pair) restore(file []byte) error {
	p.Helper()
	r, err := backup.NewReader(bytes.NewReader(file))
	p.OK(err, "read the backup's header")
	return backup.Restore(p.Ctx(), p.target.Transfer, r, p.Op(), nil)
}

func changed(file []byte, at int) []byte {
	file = bytes.Clone(file)
	file[at] ^= 0x10
	return file
}

var errFull = errors.New("no space left on device")

// fullDisk is a writer that fails after some bytes.
type fullDisk struct{ space int }

func (d *fullDisk) Write(data []byte) (int, error) {
	n := min(d.space, len(data))
	d.space -= n
	if n < len(data) {
		return n, errFull
	}
	return n, nil
}
