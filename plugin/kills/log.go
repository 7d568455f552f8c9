package kills

// Log: the last kills of a store, and its followers.

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxNames bounds the names of a kill: a commit that kills more tokens kills all.
const MaxNames = 20_000

// errBehind ends the sequence of a follower that is too slow.
var errBehind = errors.New("more kills were committed than are kept: begin again, with an empty cache")

// Log implements grantstore.Kills for a store whose commits are serialized. The zero Log is ready for use.
type Log struct {
	position atomic.Uint64
	mu       sync.Mutex
	closed   bool
	// ring holds the recent kills. A follower that falls behind it gets errBehind.
	ring Ring
	// more is closed by the next kill. It is nil if no follower waits.
	more chan struct{}
}

var _ grantstore.Kills = (*Log)(nil)

// Position implements grantstore.Kills.
func (l *Log) Position() uint64 { return l.position.Load() }

// Add gives a kill the next position and wakes the followers, unless the kill names nothing. The store calls
// it once the commit is durable and visible to every new read, and before any call that has seen the commit
// returns. The caller must not change the kill afterwards.
func (l *Log) Add(kill *grantstore.Kill) {
	if !kill.All && len(kill.Sessions) == 0 && len(kill.Grants) == 0 {
		return
	}
	if len(kill.Sessions)+len(kill.Grants) > MaxNames {
		kill.All = true
	}
	if kill.All {
		kill.Sessions, kill.Grants = nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	kill.Position = l.position.Load() + 1
	l.ring.Put(kill)
	l.position.Store(kill.Position)
	l.wake()
}

// Close ends the followers' sequences.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// wake wakes the followers. The caller holds the lock.
func (l *Log) wake() {
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// Follow implements grantstore.Kills.
func (l *Log) Follow(ctx context.Context) iter.Seq2[*grantstore.Kill, error] {
	return func(yield func(*grantstore.Kill, error) bool) {
		at := l.Position()
		if !yield(&grantstore.Kill{Position: at}, nil) {
			return
		}
		for {
			kill, more, err := l.next(at)
			if err != nil {
				yield(nil, err)
				return
			}
			if kill != nil {
				if at = kill.Position; !yield(kill, nil) {
					return
				}
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
		}
	}
}

// next returns the kill after a position or, if there is none yet, a channel that is closed by the next kill.
func (l *Log) next(at uint64) (kill *grantstore.Kill, more <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, nil, fmt.Errorf("%w: the store is closed", ticketstore.ErrUnavailable)
	}
	if l.position.Load() > at {
		if kill = l.ring.At(at + 1); kill == nil {
			return nil, nil, errBehind
		}
		return kill, nil, nil
	}
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return nil, l.more, nil
}
