package badger_test

import (
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/storetest"
)

// The conformance suite, in process.
func TestConformance(t *testing.T) {
	t.Parallel()
	rows := 10_000
	if testenv.Race {
		rows = 0 // many rows find faults of walks, not races
	}
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) storetest.Fixture { return movable(t, badger.Settings{}) }, WalkRows: rows,
	})
}
