package postgres

// The lease of a host, which its beats renew, and waiting for it and for other hosts (rule 15).
//
// A beat is a commit: a server that has lost its leadership under synchronous replication cannot commit,
// though it still answers reads. The lease runs from before the beat was sent, by the host's own clock.
// Without a lease the host answers nothing, neither from copies nor from reads.
//
// An end is acknowledged when every registered host has applied it or has no lease. The absence of a lease is
// not guessed: another host that has seen no beat of the host for longer than a lease marks its row as
// lapsed, in a transaction that conflicts with a beat in flight. A host whose row is marked registers again,
// without copies, and its next beat reads what was killed before.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// beatsOfLease is the number of beats per lease.
	beatsOfLease = 4
	// shortestPause is the pause between two beats if someone waits, as a fraction of a lease.
	shortestPause = 50
	// drift is the maximum clock drift between hosts during a lease: a twentieth.
	drift = 20
)

var (
	// errLease: nothing is answered until the next beat.
	errLease = fmt.Errorf("%w: the database has taken no beat of this host for longer than its lease",
		ticketstore.ErrUnavailable)
	// errLeftBehind: a connection leads to a server that lacks a commit known to this host.
	errLeftBehind = fmt.Errorf("%w: a server answers that is no longer the primary", errLease)
)

// lease is the state of this host's beats and of those of other hosts.
type lease struct {
	length time.Duration
	// hurry triggers the next beat immediately.
	hurry chan struct{}

	mu sync.Mutex
	// number is that of the last beat sent, known that of the last one known to be committed, and began is
	// when that was sent.
	number, known int64
	began         time.Time
	// last is the last beat whose kills were added to the log.
	last beat
	// more is closed by the next beat.
	more chan struct{}
	// peers are other hosts, and since when their beats have their current number.
	peers map[string]hostRow
	copies
}

// copies is the state of the host's copies of access tokens.
type copies struct {
	// applied is the position of the last kill applied to them.
	applied uint64
	// asking is the number of pending requests for a lease, granted is when the last one was answered, and
	// released whether there are no copies any more.
	asking   int
	granted  time.Time
	released bool
	// marks are the host's progress in each slot at some positions, in order.
	marks []point
	// awaited is the position of a kill for which another host waits, 0 for none.
	awaited uint64
}

// beat is what a beat has read.
type beat struct {
	number int64
	// database is the database's time, state the state of the store.
	database int64
	state    transfer.State
	// slots is the host's progress after it, position the corresponding position of the log, awaited whether
	// it includes a kill of another host for which that host waits.
	slots    []int64
	position uint64
	awaited  bool
	hosts    []hostRow
}

// hostRow is a host's row, and when its number was first seen.
type hostRow struct {
	instance string
	number   int64
	lapsed   bool
	applied  []int64
	since    time.Time
}

// point is a host's progress in each slot at a position.
type point struct {
	position uint64
	slots    []int64
}

func newLease(length time.Duration) *lease {
	return &lease{
		length: length, hurry: make(chan struct{}, 1), more: make(chan struct{}), peers: map[string]hostRow{},
	}
}

// margin returns a duration longer than a lease measured by another host's clock.
func (l *lease) margin() time.Duration { return l.length + l.length/drift }

// begin initializes the state of a host that has registered: its progress, and no earlier copies.
func (l *lease) begin(slots []int64, position uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks = []point{{position, slots}}
}

// send returns the number of the next beat, and the progress that it reports: the kills applied to the
// copies. A host without copies only reads, and its reads see what its beats have seen.
func (l *lease) send() (number int64, applied []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	alive := l.alive()
	for len(l.marks) > 1 && (!alive || l.marks[1].position <= l.applied) {
		l.marks = l.marks[1:]
	}
	if alive && l.marks[0].position > l.applied {
		return l.number, nil // the progress reported before remains valid
	}
	return l.number, l.marks[0].slots
}

// committed records that a beat is committed, before its kills are added to the log: a read that begins after
// them sees it.
func (l *lease) committed(number int64, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.began = number, sent
}

// confirm adds a beat whose kills are in the log, and returns the other hosts that have been silent for
// longer than a lease.
func (l *lease) confirm(b *beat) (silent []hostRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	peers := make(map[string]hostRow, len(b.hosts))
	for _, p := range b.hosts {
		p.since = time.Now() // after the beat's snapshot
		if known, ok := l.peers[p.instance]; ok && known.number == p.number {
			p.since = known.since
		}
		peers[p.instance] = p
		// By the monotonic clock only, which may stop: then silence is found later, never too early.
		if !p.lapsed && time.Since(p.since) > l.margin() {
			silent = append(silent, p)
		}
	}
	l.peers, l.last = peers, *b
	l.mark(point{b.position, b.slots})
	if b.awaited {
		l.awaited = b.position
	}
	l.noted()
	close(l.more)
	l.more = make(chan struct{})
	return silent
}

// mostMarks bounds lease.marks: a cache may request leases while its stream makes no progress.
const mostMarks = 256

// mark records the host's progress. It replaces the last mark if nothing was added since, or if there is no
// room: then the host reports its progress later, never too early.
func (l *lease) mark(p point) {
	if last := len(l.marks) - 1; last > 0 && (l.marks[last].position == p.position || last == mostMarks-1) {
		l.marks[last] = p
	} else {
		l.marks = append(l.marks, p)
	}
}

// alive reports whether copies may answer.
func (l *lease) alive() bool {
	return !l.released && (l.asking > 0 || time.Since(l.granted) < l.margin())
}

// noted triggers the next beat if it would report progress for which another host waits.
func (l *lease) noted() {
	if l.awaited > 0 && (!l.alive() || l.applied >= l.awaited) {
		l.awaited = 0
		l.wake()
	}
}

func (l *lease) wake() {
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

// holds returns the number of the last beat known to be committed, and whether its lease is valid.
func (l *lease) holds() (number int64, lasts bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known, l.known > 0 && kills.Elapsed(l.began) < l.length
}

// next returns the last beat whose kills are in the log, if it was sent after the beat behind, and a channel
// that is closed by the next one.
func (l *lease) next(behind int64) (last *beat, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.number > behind {
		b := l.last
		return &b, l.more
	}
	return nil, l.more
}

// sent returns the number of the last beat sent.
func (l *lease) sent() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

// awaitHosts returns when all hosts have applied everything committed before, or answer nothing. A beat sent
// now sees each of those commits, and each host that may have read a token before them: a host that registers
// later has read nothing yet.
func (h *host) awaitHosts(ctx, closing context.Context) error {
	if h == nil {
		return nil
	}
	before := h.lease.sent()
	var wanted []int64
	for {
		last, more := h.lease.next(before)
		if last != nil {
			if wanted == nil {
				wanted = last.slots
			}
			behind := func(p hostRow) bool {
				return p.instance != h.instance && !p.lapsed && !p.reached(wanted)
			}
			if !slices.ContainsFunc(last.hosts, behind) {
				return nil
			}
		}
		h.lease.wake()
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%w: it is done, and not known to all hosts yet: %w",
				ticketstore.ErrUnavailable, ctx.Err())
		case <-closing.Done():
			return errClosed
		}
	}
}

// reached reports whether a host's progress has reached wanted in each slot.
func (p *hostRow) reached(wanted []int64) bool {
	for slot, n := range wanted {
		if n > 0 && (slot >= len(p.applied) || p.applied[slot] < n) {
			return false
		}
	}
	return true
}

// Lease implements grantstore.Leases. It waits for a beat that is sent after the request.
func (k leasedKills) Lease(ctx context.Context, position uint64) (time.Duration, error) {
	if k.host == nil {
		return 0, errLease
	}
	l := k.host.lease
	if position == grantstore.NoCopies {
		l.release()
		return l.length, nil
	}
	before := l.ask(position)
	defer l.answered()
	for {
		last, more := l.next(before)
		if last != nil {
			// A store that was moved ends nothing any more, and its successor does not stream kills to it.
			return l.length, errors.Join(rules.Writes(last.state), k.host.refuses())
		}
		select {
		case <-more:
		case <-time.After(l.length): // the answer would be useless
			return 0, errLease
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", errLease, ctx.Err())
		case <-k.background.Done():
			return 0, errClosed
		}
	}
}

// ask records that copies have reached a position. It returns the number of the last beat sent.
func (l *lease) ask(position uint64) (before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied, l.released = position, false
	l.asking++
	l.noted()
	return l.number
}

func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released = true
	l.noted()
}

func (l *lease) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asking--
	l.granted = time.Now()
}

// awaitExpiry waits until no copy answers any more.
func (l *lease) awaitExpiry() {
	l.mu.Lock()
	alive, left := l.alive(), l.margin()-time.Since(l.granted)
	l.mu.Unlock()
	if alive {
		time.Sleep(left)
	}
}
