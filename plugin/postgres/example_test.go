package postgres_test

// An example of the package.

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/fosite-sessions/sessions/plugin/postgres"
)

func Example() {
	settings, err := postgres.ParseSettings([]byte(`{"dsn_file": "/run/secrets/dsn", "schema": "Sessions"}`))
	if err != nil {
		fmt.Println(err) // each field that is wrong
		return
	}
	store, err := postgres.Open(context.Background(), settings, slog.Default())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	// Output:
	// invalid schema: is not a name of at most 63 of a to z, 0 to 9 and _, or is one of the server's
	// invalid dsn_file: cannot be read: open /run/secrets/dsn: no such file or directory
}
