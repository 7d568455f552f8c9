package rules_test

// Each rule has a table of cases. The conformance suite checks the same rules in the engines.

import (
	"time"

	"github.com/fosite-sessions/sessions/plugin/records"
)

var now = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func in(d time.Duration) int64 { return records.Nanos(now.Add(d)) }
