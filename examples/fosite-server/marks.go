package main

// Marks: what counts once, or so often, among all servers that share a store.

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// marks say that something has happened, until it is of no interest any more. They lie in the store, as those
// do that notice a client assertion that comes again: they hold for all servers that share it, outlive a
// restart, and go with a swap.
type marks struct {
	signer signer
	grants grantstore.Store
}

func newMarks(globalSecret []byte, grants grantstore.Store) *marks {
	return &marks{signer: newSigner(globalSecret, "marks"), grants: grants}
}

// mark is one of them, and when it goes.
type mark struct {
	ref   grantstore.Ref
	until time.Time
}

// of names a mark. The name is keyed: clients choose the jti of their assertions, and must not meet another
// mark.
func (m *marks) of(until time.Time, texts ...string) mark {
	ref := grantstore.Ref{Type: grantstore.JTI, Key: ticketstore.KeyOf(string(m.signer.sum(texts...)))}
	return mark{ref: ref, until: until}
}

// set sets marks, all of them or, where one is set already, none. It reports whether it did: of two that set
// the same one does.
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

// count counts an attempt with all servers, as failed until succeed, or returns how long it has to wait. here
// counts it at this one, whose memory answers most of what is refused. An interval of a limit's rate has one
// mark, so that of all servers one takes it. Intervals begin at the same moments for all, so that of a burst
// one attempt more may pass than at a server alone.
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

// interval is the mark of one of the intervals since 1970.
func (m *marks) interval(l limit, number int64) mark {
	key := l.key()
	return m.of(time.Unix(0, (number+1)*int64(l.every)), "interval", string(key[:]), l.every.String(),
		strconv.FormatInt(number, 10))
}

// learn has the limiter in memory pass what other servers have taken. They take intervals in their order.
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
	one.from.pass(one.key(), time.Unix(0, (first+1+int64(passed))*int64(one.every)))
	return failed
}
