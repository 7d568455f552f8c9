package transfer

// Moves: Run executes a move (rule 12).

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Phase is the stage of a move.
type Phase string

// The phases, in order. A move ends as Done, Aborted or Failed.
const (
	Preparing  Phase = "preparing"
	Copying    Phase = "copying"
	CatchingUp Phase = "catching_up"
	Switching  Phase = "switching" // can no longer be aborted
	Done       Phase = "done"
	Aborted    Phase = "aborted"
	Failed     Phase = "failed"
)

const (
	// chunk is the number of batches per Import: after a failure the move continues after the last Import.
	chunk = 20
	// changesLimit is the maximum number of journal entries per call.
	changesLimit = 2000
	// nearEnough is the number of journal entries left at which the source is fenced; writes wait while they
	// are applied.
	nearEnough = 500
	// stalled is the number of catch-up rounds without progress after which the switch is attempted, if at
	// most atMost changes are left: that many can be applied while writes are held.
	stalled = 50
	atMost  = 20_000
	// signEvery is the interval of signs of life to the source, much shorter than copyPatience.
	signEvery = time.Second
	// leaveTimeout is how long another host may take to close a target that was refused to it.
	leaveTimeout = 3 * time.Second
)

// DefaultSwitchTimeout bounds how long writes are held.
const DefaultSwitchTimeout = 5 * time.Second

// Progress is the progress of a move.
type Progress struct {
	Phase Phase
	// Total is an estimate of the records to copy, replaced by their number once they are copied. Copied
	// counts copied records, Changed applied changes. Left is the number of changes not yet applied.
	Total   int64
	Copied  int64
	Changed int64
	Left    uint64
	// Held is how long the switch held writes.
	Held time.Duration
}

// Move moves the content of one store into another.
type Move struct {
	Source Store
	Target Store
	// ID is unique for each move; SourceName and TargetName are the host's names of the stores.
	ID         string
	SourceName string
	TargetName string
	// TargetStore is the id of the target's data, empty if it has none. Followed means that the target is
	// shared, so that the other hosts of a shared source can follow.
	TargetStore string
	Followed    bool
	// Report, if set, is called with each progress.
	Report func(Progress)
	// BeforeFence, if set, is called when all but the last changes are copied, before writes are held.
	BeforeFence func(ctx context.Context) error
	// SwitchTimeout bounds how long writes are held: DefaultSwitchTimeout if zero. A switch that takes longer
	// is aborted.
	SwitchTimeout time.Duration

	progress Progress
	journal  uint64
	// signed is the time of the last sign of life to the source.
	signed time.Time
}

// Run executes the move. If it returns nil, the target is Active and the source Superseded, or still Fenced
// if it was lost after the switch. If it returns an error other than ErrUndecided, the source is Active and
// complete, and the target Abandoned. Cancelling ctx aborts the move until the switch.
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

// ErrUndecided means that the target did not answer whether it is active. The source stays fenced until
// Recover gets that answer.
var ErrUndecided = fmt.Errorf("%w: it is not known whether the other store is active",
	ticketstore.ErrUnavailable)

func (m *Move) run(ctx context.Context) error {
	m.report(func(p *Progress) { p.Phase = Preparing })
	if err := m.compareVersions(ctx); err != nil {
		return m.explain(ctx, err)
	}
	err := m.prepare(ctx)
	if err == nil {
		err = m.copyAll(ctx)
	}
	if err == nil {
		err = m.catchUp(ctx)
	}
	if err == nil && m.BeforeFence != nil {
		err = m.BeforeFence(ctx)
	}
	if err == nil {
		// From here on an abort is refused: one that came before is seen.
		m.report(func(p *Progress) { p.Phase = Switching })
		err = ctx.Err()
	}
	// The switch is short and bounded, so it is not interrupted.
	ctx = context.WithoutCancel(ctx)
	if err == nil {
		err = m.switchOver(ctx)
	}
	if err != nil && !errors.Is(err, ErrUndecided) {
		return errors.Join(m.explain(ctx, err), m.abandon(ctx))
	}
	return err
}

// explain adds the names of other hosts to an error caused by a host that has joined: the step was refused,
// or Recover in that host has ended the move.
func (m *Move) explain(ctx context.Context, err error) error {
	if !errors.Is(err, ErrHosts) && !errors.Is(err, ErrState) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, store := range []Store{m.Source, m.Target} {
		if status, statusErr := store.Status(ctx); statusErr == nil && status.Alone() != nil {
			return fmt.Errorf("%w: %w", err, status.Alone())
		}
	}
	return err
}

func (m *Move) report(change func(*Progress)) {
	change(&m.progress)
	if m.Report != nil {
		m.Report(m.progress)
	}
}

// prepare begins the move at the source and the target.
func (m *Move) prepare(ctx context.Context) error {
	// The source first: of two hosts that start to move it one is refused here, before it touches a target
	// that may be the same. abandon also undoes a step whose answer was lost; it changes nothing under the id
	// of a different move.
	err := retry(ctx, func() error { return m.Source.Become(ctx, m.turn(Exporting)) })
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	m.signed = time.Now()
	if err = m.fill(ctx); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	status, err := statusOf(ctx, m.Source)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	m.journal = status.Journaled - status.Left
	m.report(func(p *Progress) { p.Phase, p.Total = Copying, status.Records() })
	return nil
}

// fill makes the target Importing. A host that was refused the source may have the target open for a moment.
func (m *Move) fill(ctx context.Context) error {
	turn := Transition{To: Importing, ID: m.ID, Peer: m.SourceName}
	for deadline := time.Now().Add(leaveTimeout); ; {
		err := retry(ctx, func() error { return m.Target.Become(ctx, turn) })
		if !m.Followed || !errors.Is(err, ErrHosts) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// turn returns a transition of the source.
func (m *Move) turn(to State) Transition {
	return Transition{To: to, ID: m.ID, Peer: m.TargetName, PeerStore: m.TargetStore, Followed: m.Followed}
}

// sign sends the source a sign of life if one is due (Status.Silent): while a large store is copied it gets
// no other call.
func (m *Move) sign(ctx context.Context) error {
	if time.Since(m.signed) < signEvery {
		return nil
	}
	m.signed = time.Now()
	_, err := m.Source.Changes(ctx, m.ID, m.journal, 1)
	return err
}

// compareVersions refuses a target that does not support all records of the source, before anything is
// changed.
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

// copyAll copies the rows. After a retryable failure it continues after the last imported ones.
func (m *Move) copyAll(ctx context.Context) error {
	var position []byte
	for ended := false; !ended; {
		err := retry(ctx, func() error {
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
				if err != nil {
					return err
				}
				m.report(func(p *Progress) { p.Copied += n })
				if ended {
					return nil
				}
				position = slices.Clone(at)
				if err := m.sign(ctx); err != nil {
					return err
				}
			}
		})
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
	}
	// The initial total was an estimate: rows were added and deleted meanwhile.
	m.report(func(p *Progress) { p.Total = p.Copied })
	return nil
}

// catchUp applies changes until few are left. It fails if the source changes as fast as its changes are
// applied and more are left than a switch can apply: holding writes would be in vain.
func (m *Move) catchUp(ctx context.Context) error {
	m.report(func(p *Progress) { p.Phase = CatchingUp })
	left, least := uint64(0), uint64(math.MaxUint64)
	for behind := 0; behind < stalled; behind++ {
		var err error
		if left, err = m.applyChanges(ctx); err != nil || left < nearEnough {
			return err
		}
		if left < least {
			least, behind = left, -1
		}
	}
	if left > atMost {
		return fmt.Errorf("catch up: the source changes as fast as its changes are applied, and %d are "+
			"left: move it when it has less to do", left)
	}
	return nil
}

// applyChanges applies one batch of changes and returns how many are left.
func (m *Move) applyChanges(ctx context.Context) (left uint64, err error) {
	var changes *Changes
	err = retry(ctx, func() (err error) {
		changes, err = m.Source.Changes(ctx, m.ID, m.journal, changesLimit)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("changes: %w", err)
	}
	if len(changes.Records) > 0 {
		err = retry(ctx, func() error {
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

// switchOver holds writes, applies the last changes, compares both stores and activates the target.
func (m *Move) switchOver(ctx context.Context) error {
	limit := m.SwitchTimeout
	if limit <= 0 {
		limit = DefaultSwitchTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	defer func() { m.report(func(p *Progress) { p.Held = time.Since(began) }) }()
	err := retry(bounded, func() error { return m.Source.Become(bounded, m.turn(Fenced)) })
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	for left := uint64(1); left > 0; {
		if left, err = m.applyChanges(bounded); err != nil {
			return err
		}
	}
	// The last check before the target serves: a copy that differs is abandoned (rule 12).
	if err := m.compare(bounded); err != nil {
		return err
	}
	if err := m.activate(ctx, bounded); err != nil {
		return err
	}
	// The target serves from here on, whether or not the source can be reached.
	_ = retry(bounded, func() error { return m.Source.Become(bounded, m.turn(Superseded)) })
	return nil
}

// ErrMismatch means that counts or sums of the target differ from the source's.
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

// activate makes the switch. An unknown outcome is resolved first: only a target that is not active may be
// abandoned.
func (m *Move) activate(ctx, bounded context.Context) error {
	failure := retry(bounded, func() error {
		return m.Target.Become(bounded, Transition{To: Active, ID: m.ID, Peer: m.SourceName})
	})
	if failure == nil {
		return nil
	}
	// Abandoned resolves it: a target that became active returns ErrState, even if another host has since
	// moved it.
	err := retry(ctx, func() error { return m.Target.Become(ctx, Transition{To: Abandoned, ID: m.ID}) })
	switch {
	case err == nil:
		return fmt.Errorf("the target did not become active: %w", failure)
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

// abandon makes the source active again. It does not need the target, which may be gone.
func (m *Move) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retryTimeout)
	defer cancel()
	err := retry(ctx, func() error { return m.Source.Become(ctx, Transition{To: Active, ID: m.ID}) })
	if errors.Is(err, ErrState) {
		err = nil // it never exported under this id
	}
	brief, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_ = m.Target.Become(brief, Transition{To: Abandoned, ID: m.ID})
	return err
}
