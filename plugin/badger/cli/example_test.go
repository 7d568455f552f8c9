package cli_test

// An example of the package.

import (
	"context"
	"fmt"
	"os"

	"github.com/fosite-sessions/sessions/plugin/badger/cli"
)

func Example() {
	code := cli.Run(context.Background(), cli.Env{
		Name: "sessions-badger", Args: []string{"check", "no-such-folder"}, Stdin: os.Stdin,
		Stdout: os.Stdout, Stderr: os.Stdout,
	})
	fmt.Println(code)
	// Output:
	// sessions-badger check: invalid path: no-such-folder does not exist
	// 2
}
