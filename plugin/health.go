package plugin

// Health checks: a process that does not answer, or whose backend has failed, is replaced.

import (
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// healthEvery is the interval of health checks.
const healthEvery = time.Second

// watch kills a process that does not answer a health check within Config.HealthTimeout, so that it is
// replaced. It also kills one whose backend has failed, and one that serves another store (rule 11). It
// returns when the process has ended or the link is closing.
func (l *link) watch(in *instance) {
	caller := &rpc.Caller{
		Conn: in.conn, Timeout: l.config.HealthTimeout, Long: l.config.HealthTimeout,
		Once: in.description.Shared,
	}
	pause := time.NewTicker(healthEvery)
	defer pause.Stop()
	var away time.Time // since when the plugin answers, and its database does not
	for {
		select {
		case <-in.ended:
			return
		case <-l.closing.Done():
			return
		case <-pause.C:
		}
		description, err := caller.Describe(l.closing)
		switch {
		case in.dead() || l.closing.Err() != nil:
			return
		case err == nil && description.StoreID != l.storeID:
			// Its database was replaced while it ran. The next start fails with an error that says what is
			// there.
			in.logger.ErrorContext(l.closing, "session plugin serves another store and is killed",
				"store_id", description.StoreID, "wanted", l.storeID)
			in.killAll()
			return
		case !errors.Is(err, ticketstore.ErrUnavailable):
			if !away.IsZero() {
				in.logger.InfoContext(l.closing, "the session plugin's database answers again",
					"after", time.Since(away).Round(time.Millisecond).String())
				away = time.Time{}
				in.away.Store(nil)
			}
		case in.description.Shared && answered(err):
			// Another process would meet the same. The answer has no cause, the log does.
			cause := in.withLastOutput(fmt.Errorf("%w: its database does not answer",
				ticketstore.ErrUnavailable))
			in.away.Store(&cause)
			if away.IsZero() {
				away = time.Now()
				in.logger.WarnContext(l.closing, "the session plugin's database does not answer",
					"error", err)
			}
		default:
			l.condemn(in, err)
			return
		}
	}
}

// answered reports whether a plugin itself has said that its backend is unavailable.
func answered(err error) bool {
	return !errors.Is(err, rpc.ErrNoAnswer) && !errors.Is(err, wire.ErrUnreached)
}

// condemn kills a process that hangs, or whose backend has failed.
func (l *link) condemn(in *instance, err error) {
	if errors.Is(err, rpc.ErrNoAnswer) {
		in.logger.ErrorContext(l.closing, "session plugin hangs and is killed",
			"error", err, "health_timeout", l.config.HealthTimeout.String())
	} else {
		in.logger.ErrorContext(l.closing, "session plugin has failed and is killed", "error", err)
		in.answer.Store(&err)
	}
	in.killAll()
}
