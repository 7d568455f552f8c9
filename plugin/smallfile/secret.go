package smallfile

// Files with secrets: passwords, keys, tokens.

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

const (
	// maxSecret bounds a file with a secret, in bytes.
	maxSecret = 1 << 20
	// forOthers and forGroup are the permission bits of other users and of the file's group.
	forOthers fs.FileMode = 0o007
	forGroup  fs.FileMode = 0o070
)

// ReadSecret returns the content of the file with a secret at path. It refuses a file that other users can
// access. Its group may have access, as is necessary for a Kubernetes secret; group reports that. Where files
// have no modes (Windows), nothing is refused.
func ReadSecret(path string) (content []byte, group bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	mode, known := info.Mode().Perm(), runtime.GOOS != "windows"
	switch {
	case known && mode&forOthers != 0:
		return nil, false, fmt.Errorf("%s has mode %04o and is open to others: chmod o= it", path, mode)
	case info.Size() > maxSecret:
		return nil, false, fmt.Errorf("%s is larger than %d bytes", path, maxSecret)
	}
	content, err = io.ReadAll(io.LimitReader(file, maxSecret))
	return content, known && mode&forGroup != 0, err
}
