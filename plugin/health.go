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

// healthInterval is the interval of health checks.
const healthInterval = time.Second

// watch kills a process that does not answer a health check within Config.HealthTimeout, whose backend has
// failed, or that serves a different store (rule 11); supervise then replaces it. It returns when the process
// has ended or the link is closing.
func (l *link) watch(in *instance) {
	caller := &rpc.Caller{
		Conn: in.conn, Timeout: l.config.HealthTimeout, Long: l.config.HealthTimeout,
		Once: in.description.Shared,
	}
	pause := time.NewTicker(healthInterval)
	defer pause.Stop()
	var down time.Time // when the database stopped answering; zero while it answers
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
			// The database was replaced while the plugin ran. The next start fails with an error that
			// describes the new store.
			in.logger.ErrorContext(l.closing, "session plugin serves another store and is killed",
				"store_id", description.StoreID, "wanted", l.storeID)
			in.killAll()
			return
		case !errors.Is(err, ticketstore.ErrUnavailable):
			if !down.IsZero() {
				in.logger.InfoContext(l.closing, "the session plugin's database answers again",
					"after", time.Since(down).Round(time.Millisecond).String())
				down = time.Time{}
				in.down.Store(nil)
			}
		case in.description.Shared && answered(err):
			// A new process would have the same problem. The plugin's answer has no cause, but its log does.
			cause := in.withLastOutput(fmt.Errorf("%w: its database does not answer",
				ticketstore.ErrUnavailable))
			in.down.Store(&cause)
			if down.IsZero() {
				down = time.Now()
				in.logger.WarnContext(l.closing, "the session plugin's database does not answer",
					"error", err)
			}
		default:
			l.killUnhealthy(in, err)
			return
		}
	}
}

// answered reports whether the plugin itself answered that its backend is unavailable.
func answered(err error) bool {
	return !errors.Is(err, rpc.ErrNoAnswer) && !errors.Is(err, wire.ErrUnreached)
}

// killUnhealthy kills a process that hangs or whose backend has failed.
func (l *link) killUnhealthy(in *instance, err error) {
	if errors.Is(err, rpc.ErrNoAnswer) {
		in.logger.ErrorContext(l.closing, "session plugin hangs and is killed",
			"error", err, "health_timeout", l.config.HealthTimeout.String())
	} else {
		in.logger.ErrorContext(l.closing, "session plugin has failed and is killed", "error", err)
		in.answer.Store(&err)
	}
	in.killAll()
}
