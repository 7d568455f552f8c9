package plugin

// Health checks: a process that does not answer, or whose backend has failed, is replaced.

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// healthEvery is the interval of health checks.
const healthEvery = time.Second

// watch kills a process that does not answer a health check within Config.HealthTimeout, so that it is
// replaced. It also kills one whose backend has failed, and one that serves another store (rule 11). It
// returns when the process has ended or the link is closing.
func (l *link) watch(in *instance) {
	caller := &rpc.Caller{Conn: in.conn, Timeout: l.config.HealthTimeout, Long: l.config.HealthTimeout}
	pause := time.NewTicker(healthEvery)
	defer pause.Stop()
	for {
		select {
		case <-in.ended:
			return
		case <-l.closing.Done():
			return
		case <-pause.C:
		}
		description, err := caller.Describe(l.closing)
		if err == nil && description.StoreID != l.storeID {
			// Its database was replaced while it ran. The next start fails with an error that says what is
			// there.
			in.logger.ErrorContext(context.Background(), "session plugin serves another store and is killed",
				"store_id", description.StoreID, "wanted", l.storeID)
			in.killAll()
			return
		}
		if !errors.Is(err, ticketstore.ErrUnavailable) || in.dead() || l.closing.Err() != nil {
			continue
		}
		if errors.Is(err, rpc.ErrNoAnswer) {
			in.logger.ErrorContext(context.Background(), "session plugin hangs and is killed",
				"error", err, "health_timeout", l.config.HealthTimeout.String())
		} else {
			in.logger.ErrorContext(context.Background(), "session plugin has failed and is killed",
				"error", err)
			in.answer.Store(&err)
		}
		in.killAll()
		return
	}
}
