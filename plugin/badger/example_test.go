package badger_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

// The engine in process, without a plugin: for tests and tools.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "sessions-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	settings, err := badger.ParseSettings([]byte(`{"path": "` + folder + `"}`))
	if err != nil {
		fmt.Println(err) // it names the setting at fault
		return
	}
	engine, err := badger.Open(ctx, settings, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	description, err := engine.Describe(ctx)
	fmt.Println(description.Name, description.Services, err)
	fmt.Println(engine.Close())
	// Output:
	// badger [tickets grants logout properties transfer kills figures] <nil>
	// <nil>
}
