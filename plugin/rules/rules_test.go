package rules_test

// Each rule is held to a table of its cases. Engines are held to the same rules by the suite
// of backends.

import (
	"time"

	"github.com/fosite-sessions/sessions/plugin/records"
)

var now = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func in(d time.Duration) int64 { return records.Nanos(now.Add(d)) }
