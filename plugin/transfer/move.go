package transfer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Phase is how far a move has come.
type Phase string

// The phases, in order. A move ends as Done, Aborted or Failed.
const (
	Preparing  Phase = "preparing"
	Copying    Phase = "copying"
	CatchingUp Phase = "catching_up"
	Switching  Phase = "switching" // from here on it cannot be aborted
	Done       Phase = "done"
	Aborted    Phase = "aborted"
	Failed     Phase = "failed"
)

const (
	// chunk is how many batches one Import takes: what was imported before a failure need not be sent again.
	chunk = 20
	// changesLimit is how many journal entries are asked for at a time.
	changesLimit = 2000
	// nearEnough is how many journal entries may be left when the source is fenced.
	nearEnough = 500
	// rounds bounds how long a source that changes faster than it can be copied is run after before the
	// fence.
	rounds = 200
	// patience is how long a store may be unavailable, as while its plugin is started again, and pause is the
	// time between two tries.
	patience = 30 * time.Second
	pause    = 50 * time.Millisecond
)

// DefaultSwitchTimeout bounds the time for which writes are held.
const DefaultSwitchTimeout = 5 * time.Second

// Progress is how far a move has come.
type Progress struct {
	Phase Phase
	// Total is how many records the source held at the beginning, and once all are copied, how many those
	// were; Copied how many were copied, and Changed how many changes made meanwhile were applied. Left is
	// how many changes are to be applied.
	Total   int64
	Copied  int64
	Changed int64
	Left    uint64
	// Held is for how long writes were held by the switch.
	Held time.Duration
}

// Move moves the content of one store into another.
type Move struct {
	Source Store
	Target Store
	// ID is new for each move; SourceName and TargetName are what the stores call each other.
	ID         string
	SourceName string
	TargetName string
	// Report, if set, is told of progress.
	Report func(Progress)
	// BeforeFence, if set, is called when all but the last changes are copied, before writes are held.
	BeforeFence func(ctx context.Context) error
	// SwitchTimeout bounds the time for which writes are held: DefaultSwitchTimeout when zero. A switch that
	// takes longer is given up.
	SwitchTimeout time.Duration

	progress Progress
	journal  uint64
}

// Run moves everything. On nil the target is Active and the source Superseded, or Fenced if it could not be
// told any more. On an error nothing has happened: the source is Active, with nothing missing, and the target
// Abandoned; but for ErrUndecided. ctx aborts the move, until the switch.
func (m *Move) Run(ctx context.Context) error {
	err := m.run(ctx)
	switch {
	case err == nil:
		m.report(func(p *Progress) { p.Phase = Done })
	case ctx.Err() != nil:
		m.report(func(p *Progress) { p.Phase = Aborted })
	default:
		m.report(func(p *Progress) { p.Phase = Failed })
	}
	return err
}

// ErrUndecided means that the target could not be asked whether it has become active. The source stays
// fenced: who can ask, decides (Recover).
var ErrUndecided = fmt.Errorf("%w: it is not known whether the other store has taken over",
	ticketstore.ErrUnavailable)

func (m *Move) run(ctx context.Context) error {
	m.report(func(p *Progress) { p.Phase = Preparing })
	if err := m.prepare(ctx); err != nil {
		return err
	}
	err := m.copyAll(ctx)
	if err == nil {
		err = m.catchUp(ctx)
	}
	if err == nil && m.BeforeFence != nil {
		err = m.BeforeFence(ctx)
	}
	if err == nil {
		err = ctx.Err() // the last moment to abort
	}
	// The switch is short and bounded, and not to be left half-way.
	ctx = context.WithoutCancel(ctx)
	if err == nil {
		err = m.switchOver(ctx)
	}
	if err != nil && !errors.Is(err, ErrUndecided) {
		return errors.Join(err, m.giveUp(ctx))
	}
	return err
}

func (m *Move) report(change func(*Progress)) {
	change(&m.progress)
	if m.Report != nil {
		m.Report(m.progress)
	}
}

func (m *Move) prepare(ctx context.Context) error {
	if err := m.compareVersions(ctx); err != nil {
		return err
	}
	err := again(ctx, func() error {
		return m.Target.Become(ctx, Transition{To: Importing, ID: m.ID, Peer: m.SourceName})
	})
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	err = again(ctx, func() error {
		return m.Source.Become(ctx, Transition{To: Exporting, ID: m.ID, Peer: m.TargetName})
	})
	if err == nil {
		var status *Status
		if status, err = statusOf(ctx, m.Source); err == nil {
			m.journal = status.Journaled - status.Left
			m.report(func(p *Progress) { p.Phase, p.Total = Copying, status.Records() })
			return nil
		}
	}
	return errors.Join(fmt.Errorf("source: %w", err), m.giveUp(context.WithoutCancel(ctx)))
}

// compareVersions refuses a target that would lose what it does not know, before anything has happened.
func (m *Move) compareVersions(ctx context.Context) error {
	source, err := statusOf(ctx, m.Source)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	target, err := statusOf(ctx, m.Target)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if source.RecordVersion > target.RecordVersion {
		return fmt.Errorf("%w: its records are of version %d, those of the source of version %d", ErrOlder,
			target.RecordVersion, source.RecordVersion)
	}
	return nil
}

// copyAll sends the rows. After a failure that may pass it goes on behind the last ones that were imported.
func (m *Move) copyAll(ctx context.Context) error {
	var position []byte
	for ended := false; !ended; {
		err := again(ctx, func() error {
			next, stop := iter.Pull2(m.Source.Export(ctx, position))
			defer stop()
			for {
				at, n := position, int64(0)
				err := m.Target.Import(ctx, m.ID, func(yield func([]Record, error) bool) {
					for range chunk {
						batch, err, ok := next()
						if ended = !ok; ended {
							return
						}
						if err != nil {
							yield(nil, err)
							return
						}
						if !yield(batch.Records, nil) {
							return
						}
						at, n = batch.Position, n+int64(len(batch.Records))
					}
				})
				if err != nil || ended {
					m.report(func(p *Progress) {
						if err == nil {
							p.Copied += n
						}
					})
					return err
				}
				position = slices.Clone(at)
				m.report(func(p *Progress) { p.Copied += n })
			}
		})
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
	}
	// What was added or deleted while it was read makes the total of the beginning a guess.
	m.report(func(p *Progress) { p.Total = p.Copied })
	return nil
}

// catchUp applies changes until few are left.
func (m *Move) catchUp(ctx context.Context) error {
	m.report(func(p *Progress) { p.Phase = CatchingUp })
	for range rounds {
		left, err := m.applyChanges(ctx)
		if err != nil || left < nearEnough {
			return err
		}
	}
	return nil
}

// applyChanges applies one lot of changes and returns how many are left.
func (m *Move) applyChanges(ctx context.Context) (left uint64, err error) {
	var changes *Changes
	err = again(ctx, func() (err error) {
		changes, err = m.Source.Changes(ctx, m.ID, m.journal, changesLimit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("changes: %w", err)
	}
	if len(changes.Records) > 0 {
		err = again(ctx, func() error {
			return m.Target.Import(ctx, m.ID, func(yield func([]Record, error) bool) {
				yield(changes.Records, nil)
			})
		})
		if err != nil {
			return 0, fmt.Errorf("apply changes: %w", err)
		}
	}
	m.journal = changes.Through
	m.report(func(p *Progress) { p.Changed, p.Left = p.Changed+int64(len(changes.Records)), changes.Left })
	return changes.Left, nil
}

// switchOver is the only time in which writes are held.
func (m *Move) switchOver(ctx context.Context) error {
	limit := m.SwitchTimeout
	if limit <= 0 {
		limit = DefaultSwitchTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m.report(func(p *Progress) { p.Phase = Switching })
	began := time.Now()
	defer func() { m.report(func(p *Progress) { p.Held = time.Since(began) }) }()
	err := again(bounded, func() error {
		return m.Source.Become(bounded, Transition{To: Fenced, ID: m.ID, Peer: m.TargetName})
	})
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	for left := uint64(1); left > 0; {
		if left, err = m.applyChanges(bounded); err != nil {
			return err
		}
	}
	if err := m.compare(bounded); err != nil {
		return err
	}
	if err := m.activate(ctx, bounded); err != nil {
		return err
	}
	// Whether the source hears of it or not, the target serves from here on.
	_ = again(bounded, func() error {
		return m.Source.Become(bounded, Transition{To: Superseded, ID: m.ID, Peer: m.TargetName})
	})
	return nil
}

// ErrMismatch means that the target does not hold what the source holds.
var ErrMismatch = errors.New("the copy differs from its source")

func (m *Move) compare(ctx context.Context) error {
	source, err := statusOf(ctx, m.Source)
	if err != nil {
		return err
	}
	target, err := statusOf(ctx, m.Target)
	if err != nil {
		return err
	}
	for _, kind := range Kinds {
		if a, b := source.Content[kind], target.Content[kind]; a != b {
			return fmt.Errorf("%w: of %s there are %d, want %d", ErrMismatch, kind, b.Count, a.Count)
		}
	}
	if !maps.Equal(source.Content, target.Content) {
		return fmt.Errorf("%w: there are records of a kind that this host does not know", ErrMismatch)
	}
	return nil
}

// activate is the switch itself. Its outcome is found out before anything else is done: only a target that is
// not active may be given up.
func (m *Move) activate(ctx, bounded context.Context) error {
	err := again(bounded, func() error {
		return m.Target.Become(bounded, Transition{To: Active, ID: m.ID, Peer: m.SourceName})
	})
	if err == nil || errors.Is(err, ErrState) {
		return err
	}
	// Abandoning tells: it is ErrState for a target that is active.
	err = again(ctx, func() error { return m.Target.Become(ctx, Transition{To: Abandoned, ID: m.ID}) })
	switch {
	case err == nil:
		return errors.New("the target did not become active")
	case !errors.Is(err, ErrState):
		return fmt.Errorf("%w: %w", ErrUndecided, err)
	}
	status, err := statusOf(ctx, m.Target)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUndecided, err)
	case status.Origin == m.ID:
		return nil
	}
	return fmt.Errorf("target: %w: it is %s", ErrState, status.State)
}

// giveUp leaves the source as it was. The target may be gone: it is not needed for that.
func (m *Move) giveUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := again(ctx, func() error { return m.Source.Become(ctx, Transition{To: Active, ID: m.ID}) })
	if errors.Is(err, ErrState) {
		err = nil // it never began to export under this id
	}
	brief, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_ = m.Target.Become(brief, Transition{To: Abandoned, ID: m.ID})
	return err
}

func statusOf(ctx context.Context, store Store) (status *Status, err error) {
	err = again(ctx, func() (err error) {
		status, err = store.Status(ctx)
		return err
	})
	return status, err
}

// Retryable tells whether asking the same store again can have another outcome: it is
// ticketstore.ErrUnavailable, and neither fenced nor out of room, which others must change.
func Retryable(err error) bool {
	return errors.Is(err, ticketstore.ErrUnavailable) && !errors.Is(err, ErrFenced) &&
		!errors.Is(err, ticketstore.ErrNoSpace)
}

// again repeats what may be repeated while a store is unavailable, as it is while its process is started
// again.
func again(ctx context.Context, f func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := f()
		if !Retryable(err) || time.Now().After(deadline) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		}
	}
}

// ErrIncomplete means that the store is the unfinished target of a move and not to be used.
var ErrIncomplete = errors.New("the store was being filled from another one and is not complete")

// ErrNotSuccessor means that the store under the name of the one that has taken over is another one, or has
// lost what it held.
var ErrNotSuccessor = errors.New("it is not the store that has taken over")

// Recover brings a store that a move may have left behind back to work. It returns the name of the store that
// has taken its place, empty if that is the store itself. open returns the store of that name, which a fenced
// one must ask: an error leaves everything as it is.
func Recover(
	ctx context.Context, store Store, open func(ctx context.Context, name string) (Store, error),
) (follow string, err error) {
	status, err := statusOf(ctx, store)
	if err != nil {
		return "", err
	}
	switch status.State {
	case Superseded:
		return follows(ctx, status, open)
	case Importing, Abandoned:
		return "", fmt.Errorf("%w (from %s)", ErrIncomplete, status.Peer)
	case Exporting:
		return "", store.Become(ctx, Transition{To: Active, ID: status.ID})
	case Fenced:
		target, err := open(ctx, status.Peer)
		if err != nil {
			return "", fmt.Errorf("whether %q has taken over: %w", status.Peer, err)
		}
		return recoverFenced(ctx, store, target, status)
	}
	return "", nil
}

// follows returns the name of the store that has taken over, after a look whether it is that one: another
// folder under its name would serve as if nobody were signed in.
func follows(
	ctx context.Context, status *Status, open func(ctx context.Context, name string) (Store, error),
) (follow string, err error) {
	target, err := open(ctx, status.Peer)
	if err != nil {
		return "", fmt.Errorf("superseded by %q: %w", status.Peer, err)
	}
	other, err := statusOf(ctx, target)
	if err != nil {
		return "", fmt.Errorf("superseded by %q: %w", status.Peer, err)
	}
	if other.Origin != status.ID {
		return "", fmt.Errorf("superseded by %q: %w", status.Peer, ErrNotSuccessor)
	}
	return status.Peer, nil
}

func recoverFenced(ctx context.Context, store, target Store, status *Status) (follow string, err error) {
	other, err := statusOf(ctx, target)
	if err != nil {
		return "", err
	}
	if other.Origin == status.ID {
		return status.Peer, store.Become(ctx, Transition{To: Superseded, ID: status.ID, Peer: status.Peer})
	}
	if other.State == Importing && other.ID == status.ID {
		// First the target, then the fence: both active must never be.
		if err := target.Become(ctx, Transition{To: Abandoned, ID: status.ID}); err != nil {
			return "", err
		}
	}
	return "", store.Become(ctx, Transition{To: Active, ID: status.ID})
}
