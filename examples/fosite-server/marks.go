package main

// Marks: events that count once, or at a limited rate, across all servers that share a store.

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// marks record that something has happened, for a limited time. They are stored as grants, like the jti of
// client assertions: they apply to all servers that share the store, survive a restart, and are copied by a
// swap.
type marks struct {
	signer signer
	grants grantstore.Store
}

func newMarks(globalSecret []byte, grants grantstore.Store) *marks {
	return &marks{signer: newSigner(globalSecret, "marks"), grants: grants}
}

// mark is a mark and its expiry.
type mark struct {
	ref   grantstore.Ref
	until time.Time
}

// of returns a mark for a name. The name is keyed: clients choose the jti of their assertions and must not
// collide with marks.
func (m *marks) of(until time.Time, texts ...string) mark {
	ref := grantstore.Ref{Type: grantstore.JTI, Key: ticketstore.KeyOf(string(m.signer.sum(texts...)))}
	return mark{ref: ref, until: until}
}

// set sets all marks, or none if one of them is already set, and reports whether it did. Of concurrent calls
// for the same mark one succeeds.
func (m *marks) set(ctx context.Context, now time.Time, list ...mark) (done bool, err error) {
	batch := &grantstore.Batch{OperationID: randomText()}
	for _, one := range list {
		batch.Store = append(batch.Store, grantstore.Grant{Ref: one.ref, Created: now, Expires: one.until})
	}
	_, err = m.grants.Apply(ctx, batch, now)
	if errors.Is(err, ticketstore.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

func (m *marks) isSet(ctx context.Context, now time.Time, one mark) (bool, error) {
	_, err := m.grants.Get(ctx, one.ref, now)
	if errors.Is(err, ticketstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (m *marks) clear(ctx context.Context, now time.Time, list ...mark) error {
	batch := &grantstore.Batch{OperationID: randomText()}
	for _, one := range list {
		batch.Delete = append(batch.Delete, one.ref)
	}
	_, err := m.grants.Apply(ctx, batch, now)
	return err
}

// count counts an attempt across all servers, as failed until succeed is called, or returns how long it must
// wait. here counts it at this server, whose memory handles most refusals. Each interval of a limit's rate
// has one mark, which only one server can set. All servers use the same interval boundaries, so a burst may
// allow one attempt more than at a single server.
func (m *marks) count(
	ctx context.Context, now time.Time, here func(*taken) (wait time.Duration),
) (succeed func() error, wait time.Duration, err error) {
	for {
		var attempt taken
		if wait := here(&attempt); wait > 0 {
			attempt.giveBack()
			return nil, wait, nil
		}
		var list []mark
		for _, one := range attempt {
			list = append(list, m.interval(one.limit, one.number()))
		}
		done, err := m.set(ctx, now, list...)
		if done {
			return func() error {
				attempt.giveBack()
				return m.clear(ctx, now, list...)
			}, 0, nil
		}
		attempt.giveBack()
		for _, one := range attempt {
			if err == nil {
				err = m.learn(ctx, now, one)
			}
		}
		if err != nil {
			return nil, 0, err
		}
	}
}

// interval returns the mark of an interval, numbered since 1970.
func (m *marks) interval(l limit, number int64) mark {
	key := l.key()
	return m.of(time.Unix(0, (number+1)*int64(l.every)), "interval", string(key[:]), l.every.String(),
		strconv.FormatInt(number, 10))
}

// learn advances the limiter in memory past the intervals that other servers have taken, which they take in
// order.
func (m *marks) learn(ctx context.Context, now time.Time, one take) error {
	first := one.number()
	if set, err := m.isSet(ctx, now, m.interval(one.limit, first)); err != nil || !set {
		return err
	}
	var failed error
	last := now.UnixNano()/int64(one.every) + int64(one.burst) - 1
	passed := sort.Search(int(max(last-first, 0)), func(i int) bool {
		set, err := m.isSet(ctx, now, m.interval(one.limit, first+1+int64(i)))
		failed = errors.Join(failed, err)
		return !set
	})
	one.from.advance(one.key(), time.Unix(0, (first+1+int64(passed))*int64(one.every)))
	return failed
}
