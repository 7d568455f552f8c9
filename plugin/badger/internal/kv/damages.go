package kv

// The log of damaged rows, each once.

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// damages tells of each damaged row once, or again when it has told of very many others since.
type damages struct {
	logger *slog.Logger
	mutex  sync.Mutex
	told   map[string]struct{}
}

const maxTold = 1000

func (d *damages) tell(err error) {
	var found *layout.Damage
	if d == nil || !errors.As(err, &found) {
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if _, again := d.told[string(found.Key)]; again {
		return
	}
	if d.told == nil || len(d.told) == maxTold {
		d.told = map[string]struct{}{}
	}
	d.told[string(found.Key)] = struct{}{}
	d.logger.ErrorContext(context.Background(), "damaged row stepped over",
		"table", layout.TableName(found.Key), "row", layout.Public(found.Key), "error", err)
}
