package hostadapter

// The sweep: sessions that fall due are ended, records whose time is up purged (rule 8).

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

const (
	// sweepCalls bounds how often EndDue or Purge is called in one round. What that leaves is done in the
	// next, which begins at once.
	sweepCalls = 20
	// sweepTimeout bounds one round.
	sweepTimeout = 30 * time.Second
	// clockInterval is how often the clock is read while nothing is due: it may be set, and a machine
	// may sleep.
	clockInterval = time.Second
	// sharedInterval is how often a store that other hosts share is asked: their sessions may live shorter
	// than ours.
	sharedInterval = 500 * time.Millisecond
	// manyRounds is how many rounds in a row may leave work for the next and have it begin at once: more than
	// it takes to end some million sessions. After that a store that never comes to an end is asked less
	// often, with a pause between two rounds.
	manyRounds = 1000
	sweepPause = 100 * time.Millisecond
	// purgeLimit bounds what one call of Purge does.
	purgeLimit = 200
)

// sweeper ends sessions that fall due and purges records whose time is up. It asks the store when the next
// session is due, and not again before that moment: a session that begins meanwhile lives at least as long as
// the shortest lifetime, by a clock that goes forward. It belongs to one goroutine.
type sweeper struct {
	adapter *Adapter
	// next is when to ask again; the zero time means now. It was worked out at from: a clock before that was
	// set back, and a session may have begun since that is due before next.
	next, from time.Time
	// asked and purged are when that was last done. They pace the sweeper and say nothing of sessions, so
	// they are real time.
	asked, purged time.Time
	failing       bool
	// unfinished counts the rounds in a row that left work for the next.
	unfinished int
}

// startSweeping runs a sweeper until Close.
func (a *Adapter) startSweeping() {
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.sweeping.Go(func() { (&sweeper{adapter: a}).run(ctx) })
	a.sweeping.Go(func() { a.countMissing(ctx) })
}

func (s *sweeper) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if s.due() {
			s.round(ctx)
		}
		timer.Reset(s.pause())
	}
}

// due reports whether it is time to ask the store.
func (s *sweeper) due() bool {
	now := s.adapter.now()
	return !now.Before(s.next) || now.Before(s.from) || time.Since(s.asked) >= s.every()
}

// every is how often the store is asked in any case.
func (s *sweeper) every() time.Duration {
	if d := s.adapter.description.Load(); d.Shared && !s.adapter.config.Expiry.Off {
		return min(sharedInterval, s.adapter.config.Expiry.SweepEvery)
	}
	return s.adapter.config.Expiry.SweepEvery
}

// pause is how long there is nothing to do.
func (s *sweeper) pause() time.Duration {
	least := time.Millisecond
	if s.unfinished > manyRounds {
		least = sweepPause
	}
	most := min(clockInterval, max(s.every()-time.Since(s.asked), least))
	return min(most, max(s.next.Sub(s.adapter.now()), least))
}

// round asks the store and does what there is to do. Only a change from failing to working and back is worth
// a line in the log.
func (s *sweeper) round(ctx context.Context) {
	round, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	// The clock may be set back while the store answers: what it answers belongs to the time before.
	s.asked, s.from = time.Now(), s.adapter.now()
	span := &lateSpan{tracing: &s.adapter.tracing, name: "sweep", began: s.asked}
	next, err := s.adapter.endDue(round, span)
	// A session that cannot be ended keeps nothing else from going.
	if !IsUnavailable(err) && time.Since(s.purged) >= s.adapter.config.Expiry.SweepEvery {
		left, purgeErr := s.adapter.purge(round, span)
		switch {
		case left:
			next = s.from // the rest is a matter of the next round, which begins at once
		case purgeErr == nil:
			s.purged = time.Now()
		}
		err = errors.Join(err, purgeErr)
	}
	span.end(round, err)
	if ctx.Err() != nil {
		return
	}
	log := s.adapter.config.Logger
	switch {
	case err != nil && !s.failing:
		log.ErrorContext(ctx, "sessions that fell due cannot be ended, trying again", "error", err)
	case err == nil && s.failing:
		log.InfoContext(ctx, "sessions that fall due are ended again")
	}
	s.unfinished++
	if err != nil || next.After(s.adapter.now()) {
		s.unfinished = 0
	}
	if s.unfinished == manyRounds {
		log.WarnContext(ctx,
			"the store still has records whose time is up, after many rounds; it is asked less often "+
				"from now on")
	}
	if err == nil {
		s.adapter.due.Store(next.UnixNano())
	}
	if s.failing = err != nil; s.failing {
		next = s.adapter.now().Add(min(clockInterval, s.adapter.config.Expiry.SweepEvery))
	}
	s.next = next
}

// endDue ends sessions that are due, in batches, and returns when the next one may be.
func (a *Adapter) endDue(ctx context.Context, span *lateSpan) (next time.Time, err error) {
	shortest := a.config.Lifetime.IdleTimeout
	if a.config.Lifetime.AbsoluteTimeout > 0 {
		shortest = min(shortest, a.config.Lifetime.AbsoluteTimeout)
	}
	if a.config.Expiry.Off {
		return a.now().Add(shortest), nil
	}
	sweep := logout.Sweep{
		Limit: a.config.Expiry.SweepBatch, KeepOffline: !a.config.Expiry.RevokeOffline,
		SkipNotification: a.config.Expiry.Notify == NoClients,
		CoordinatedOnly:  a.config.Expiry.Notify == CoordinatingClients,
		AskRegistered:    true,
	}
	for range sweepCalls {
		now := a.now()
		swept, err := a.config.Backend.Logout().EndDue(ctx, sweep, now)
		if err != nil {
			return time.Time{}, err
		}
		if swept.Ended > 0 || swept.PurgeLeft || len(swept.MissingClients) > 0 {
			ctx = span.begin(ctx)
		}
		if len(swept.MissingClients) > 0 {
			sweep.Registered = a.registered(ctx, swept.MissingClients)
		}
		if swept.NotificationsQueued > 0 {
			a.dispatcher.Wake()
		}
		for _, ended := range swept.Sessions {
			a.events.publish(&SessionEnded{
				Time: now, SessionID: ended.SessionID, SubjectID: ended.SubjectID,
				Reason: logout.SessionExpiration,
			})
		}
		// A call may have spent its limit on sessions that slid, and leave due ones behind them.
		if (swept.Next.IsZero() || swept.Next.After(now)) && !swept.PurgeLeft {
			return capped(now.Add(shortest), swept.Next), nil
		}
	}
	return a.now(), nil
}

// purge purges grants whose time is up, in batches, and reports whether any were left.
func (a *Adapter) purge(ctx context.Context, span *lateSpan) (left bool, err error) {
	for range sweepCalls {
		purged, err := a.config.Backend.Grants().Purge(ctx, purgeLimit, a.now())
		if purged > 0 {
			ctx = span.begin(ctx)
		}
		if err != nil || purged < purgeLimit {
			return false, err
		}
	}
	return true, nil
}
