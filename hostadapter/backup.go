package hostadapter

// Backups of the backend that serves.

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ErrBackup means that no backup can be taken now: one is being taken, a swap is under way, or the backend
// has none to give. The text says which.
var ErrBackup = errors.New("hostadapter: no backup can be taken")

// Backup writes a backup of the backend that serves, while it serves: one snapshot, in the format of package
// backup. Nothing is written before an ErrBackup. A backup that has begun and fails lacks its end, which a
// restore detects; the backend stays as it is. It ends when ctx does, or the adapter closes.
func (o *Operations) Backup(ctx context.Context, w io.Writer) (err error) {
	ctx, release, err := o.adapter.beginBackup(ctx)
	if err != nil {
		return err
	}
	defer release()
	ctx, span := o.adapter.tracing.start(ctx, "backup")
	defer func() { end(span, err) }()
	name, serving := o.adapter.backends.name(), o.adapter.backends.serving()
	source := backup.Source{Store: moverOf(serving)}
	if source.Store == nil {
		return fmt.Errorf("%w: %q does not serve transfer", ErrBackup, name)
	}
	if source.Description, err = serving.Describe(ctx); err != nil {
		return fmt.Errorf("hostadapter: asking the backend what it is: %w", err)
	}
	began := o.adapter.now()
	summary, err := backup.Write(ctx, w, source, began, nil)
	if err != nil {
		o.adapter.config.Logger.ErrorContext(ctx, "backup was not finished", "backend", name, "error", err)
		return fmt.Errorf("hostadapter: backup: %w", err)
	}
	o.adapter.config.Logger.InfoContext(ctx, "backup taken", "backend", name, "records", summary.Records,
		"took", o.adapter.now().Sub(began).String())
	return nil
}

// beginBackup takes the only place of a backup. A swap, which ends with the backend closed that is copied
// from, must not come between.
func (a *Adapter) beginBackup(ctx context.Context) (running context.Context, end func(), err error) {
	s := &a.swaps
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed():
		return nil, nil, fmt.Errorf("%w: the server ends", ticketstore.ErrUnavailable)
	case s.backup != nil:
		return nil, nil, fmt.Errorf("%w: another is being taken", ErrBackup)
	case s.running != nil:
		return nil, nil, fmt.Errorf("%w: a swap is under way", ErrBackup)
	}
	if s.endCount != nil {
		s.endCount()
	}
	running, s.backup = context.WithCancel(ctx)
	s.ended.Add(1)
	return running, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.backup()
		s.backup = nil
		s.ended.Done()
	}, nil
}
