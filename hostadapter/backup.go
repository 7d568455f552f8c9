package hostadapter

// Backups of the serving backend.

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// ErrBackup means that no backup can be taken now: a backup or a swap is running, or the backend does not
// support it. The text says which.
var ErrBackup = errors.New("hostadapter: no backup can be taken")

// Backup writes a backup of the serving backend, without interrupting it: one snapshot, in the format of
// package backup. If it returns ErrBackup nothing was written. A backup that fails later lacks its trailer,
// which a restore detects; the backend is unaffected. It is cancelled when ctx ends or the adapter closes.
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

// beginBackup reserves the single backup slot. It excludes swaps: a swap ends by closing the backend that is
// being copied.
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
