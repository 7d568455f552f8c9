// Package rules_test holds each rule to a table of its cases. Engines are held to the same rules by the suite
// of backends.
package rules_test

import (
	"time"

	"github.com/fosite-sessions/sessions/plugin/records"
)

var now = time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)

func in(d time.Duration) int64 { return records.Nanos(now.Add(d)) }
