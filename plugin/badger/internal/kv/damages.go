package kv

// Logging of damaged rows, once each.

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// damages logs each damaged row once, or again after very many others.
type damages struct {
	logger *slog.Logger
	mutex  sync.Mutex
	logged map[string]struct{}
}

const maxLogged = 1000

func (d *damages) log(err error) {
	var found *layout.Damage
	if d == nil || !errors.As(err, &found) {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if _, again := d.logged[string(found.Key)]; again {
		return
	}
	if d.logged == nil || len(d.logged) == maxLogged {
		d.logged = map[string]struct{}{}
	}
	d.logged[string(found.Key)] = struct{}{}
	d.logger.ErrorContext(context.Background(), "damaged row stepped over",
		"table", layout.TableName(found.Key), "row", layout.Public(found.Key), "error", err)
}
