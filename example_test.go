package sessions_test

import (
	"context"
	"fmt"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/memory"
)

func ExampleBackend() {
	var backend sessions.Backend = memory.New()
	description, err := backend.Describe(context.Background())
	fmt.Println(description.Name, description.Services, err, backend.Close())
	// Output: memory [tickets grants logout properties transfer kills] <nil> <nil>
}
