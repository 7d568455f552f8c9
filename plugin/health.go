package plugin

import (
	"context"
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/plugin/internal/rpc"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// healthEvery is the pause between two questions whether the plugin is well.
const healthEvery = time.Second

// watch kills a process that does not answer within Config.HealthTimeout, so that it is replaced: calls that
// wait for a process that hangs would wait in vain. So is one that answers that it has failed, and one that
// has come to serve another store. It returns when the process has ended or the link is closing.
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
			// Its database was replaced under it. The next start finds out what is there, and tells.
			in.logger.ErrorContext(context.Background(), "session plugin serves another store and is killed",
				"store_id", description.StoreID, "wanted", l.storeID)
			in.slay()
			return
		}
		if !errors.Is(err, ticketstore.ErrUnavailable) || in.dead() || l.closing.Err() != nil {
			continue
		}
		if errors.Is(err, rpc.ErrNoAnswer) {
			in.logger.ErrorContext(context.Background(), "session plugin hangs and is killed", "error", err,
				"health_timeout", l.config.HealthTimeout.String())
		} else {
			in.logger.ErrorContext(context.Background(), "session plugin has failed and is killed", "error",
				err)
			in.answer.Store(&err)
		}
		in.slay()
		return
	}
}
