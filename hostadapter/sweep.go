package hostadapter

// The sweep: ends sessions that fall due, purges due records (rule 8).

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

const (
	// sweepCalls bounds the calls of EndDue or Purge in one round. The next round begins at once and does the
	// rest.
	sweepCalls = 20
	// sweepTimeout bounds one round.
	sweepTimeout = 30 * time.Second
	// clockInterval is how often the clock is read while nothing is due: it may be set, and the machine may
	// sleep.
	clockInterval = time.Second
	// sharedInterval is how often a shared store is asked: sessions of other hosts may have shorter lifetimes
	// than ours.
	sharedInterval = 500 * time.Millisecond
	// manyRounds is how many rounds in a row may leave work for the next round and start it at once: enough
	// to end more than a million sessions. After that the rounds are paced by sweepPause, because the store
	// may never finish.
	manyRounds = 1000
	sweepPause = 100 * time.Millisecond
	// purgeLimit bounds one call of Purge.
	purgeLimit = 200
)

// sweeper ends sessions that fall due and purges due records. It asks the store when the next session is due,
// and does not ask again before that time, because a session that begins meanwhile lives at least as long as
// the shortest lifetime, unless the clock is set back. It is owned by one goroutine.
type sweeper struct {
	adapter *Adapter
	// next is when to ask again; zero means now. It was computed at from: a clock before from was set back,
	// and a session that is due before next may have begun since.
	next, from time.Time
	// asked and purged are when that was last done. They pace the sweeper and do not affect sessions, so they
	// are real time.
	asked, purged time.Time
	failing       bool
	// unfinished counts the consecutive rounds that left work for the next.
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

// every returns the maximum interval between calls of the store.
func (s *sweeper) every() time.Duration {
	if d := s.adapter.description.Load(); d.Shared && !s.adapter.config.Expiry.Off {
		return min(sharedInterval, s.adapter.config.Expiry.SweepEvery)
	}
	return s.adapter.config.Expiry.SweepEvery
}

// pause returns the time until the next round.
func (s *sweeper) pause() time.Duration {
	least := time.Millisecond
	if s.unfinished > manyRounds {
		least = sweepPause
	}
	most := min(clockInterval, max(s.every()-time.Since(s.asked), least))
	return min(most, max(s.next.Sub(s.adapter.now()), least))
}

// round asks the store and does what is due. It logs only when it begins to fail and when it recovers.
func (s *sweeper) round(ctx context.Context) {
	round, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	// The clock may be set back while the store answers: the answer belongs to the time before.
	s.asked, s.from = time.Now(), s.adapter.now()
	span := &lateSpan{tracing: &s.adapter.tracing, name: "sweep", began: s.asked}
	next, err := s.adapter.endDue(round, span)
	// A session that cannot be ended must not block the purge.
	if expiry := &s.adapter.config.Expiry; !expiry.Off && !IsUnavailable(err) &&
		time.Since(s.purged) >= expiry.SweepEvery {
		left, purgeErr := s.adapter.purge(round, span)
		switch {
		case left:
			next = s.from // the next round begins at once and does the rest
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
		log.ErrorContext(ctx, "expired sessions cannot be ended, retrying", "error", err)
	case err == nil && s.failing:
		log.InfoContext(ctx, "expired sessions are ended again")
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

// endDue ends due sessions, in batches, and returns when the next one may be due.
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
		// A call may have spent its limit on renewed sessions, with due ones behind them.
		if (swept.Next.IsZero() || swept.Next.After(now)) && !swept.PurgeLeft {
			return capped(now.Add(shortest), swept.Next), nil
		}
	}
	return a.now(), nil
}

// purge purges due grants, in batches, and reports whether any are left.
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
