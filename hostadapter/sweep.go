package hostadapter

import (
	"context"
	"time"

	"github.com/fosite-sessions/sessions/logout"
)

const (
	// sweepLimit bounds what one call of EndDue or Purge does, sweepCalls how often each is called in one round.
	sweepLimit = 200
	sweepCalls = 20
	// sweepTimeout bounds one round.
	sweepTimeout = 30 * time.Second
)

// startSweeping ends sessions that fell due and purges records whose time is up, until Close.
func (a *Adapter) startSweeping() {
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.sweeping.Add(1)
	go func() {
		defer a.sweeping.Done()
		ticker := time.NewTicker(a.config.SweepEvery)
		defer ticker.Stop()
		failing := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			failing = a.sweepOnce(ctx, failing)
		}
	}()
}

// sweepOnce returns whether it failed. Only a change from failing to working and back is worth a line in the log.
func (a *Adapter) sweepOnce(ctx context.Context, failing bool) bool {
	round, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	err := a.endDue(round)
	if err == nil {
		err = a.purge(round)
	}
	switch {
	case ctx.Err() != nil:
		return failing
	case err != nil && !failing:
		a.config.Logger.ErrorContext(ctx, "sessions that fell due cannot be ended, trying again", "error", err)
	case err == nil && failing:
		a.config.Logger.InfoContext(ctx, "sessions that fall due are ended again")
	}
	return err != nil
}

func (a *Adapter) endDue(ctx context.Context) error {
	sweep := logout.Sweep{Limit: sweepLimit, KeepOffline: !a.config.RevokeOfflineOnExpiry}
	for range sweepCalls {
		now := a.now()
		swept, err := a.config.Backend.Logout().EndDue(ctx, sweep, now)
		if err != nil {
			return err
		}
		if swept.NotificationsQueued > 0 {
			a.dispatcher.Wake()
		}
		// A call may have spent its limit on sessions that slid, and leave due ones behind them.
		if swept.Ended < sweepLimit && (swept.Next.IsZero() || swept.Next.After(now)) {
			return nil
		}
	}
	return nil
}

func (a *Adapter) purge(ctx context.Context) error {
	for range sweepCalls {
		purged, err := a.config.Backend.Grants().Purge(ctx, sweepLimit, a.now())
		if err != nil || purged < sweepLimit {
			return err
		}
	}
	return nil
}
