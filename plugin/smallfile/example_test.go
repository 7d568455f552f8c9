package smallfile_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fosite-sessions/sessions/plugin/smallfile"
)

// A token that only its owner may read.
func Example() {
	folder, err := os.MkdirTemp("", "token-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	path := filepath.Join(folder, "token")
	fmt.Println(smallfile.Write(path, []byte("secret"), 0o600))
	info, err := os.Stat(path)
	fmt.Println(info.Mode(), err)
	// Output:
	// <nil>
	// -rw------- <nil>
}
