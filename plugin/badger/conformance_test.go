package badger_test

import (
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/storetest"
)

// The suite decides whether the engine is right; here it runs on it in process.
func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) storetest.Fixture { return movable(t, badger.Settings{}) }, WalkRows: 10_000,
	})
}
