package cli_test

// An example of the package.

import (
	"context"
	"fmt"
	"os"

	"github.com/fosite-sessions/sessions/plugin/postgres/cli"
)

func Example() {
	code := cli.Run(context.Background(), cli.Env{
		Name: "sessions-postgres", Args: []string{"check", "-dsn-file", "no-such-file"}, Stdin: os.Stdin,
		Stdout: os.Stdout, Stderr: os.Stdout,
	})
	fmt.Println(code)
	// Output:
	// sessions-postgres check: invalid dsn_file: cannot be read: open no-such-file: no such file or directory
	// 2
}
