package badger

// The settings of the engine, as the host sends them in JSON.

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Settings configure the engine. They are what a host sends to the plugin as JSON.
type Settings struct {
	// Path is the folder of the database. It is created with mode 0700 when missing. A folder of another user
	// is taken, with a warning, where it belongs to a group of this process, as a Kubernetes volume with an
	// fsGroup does, and others cannot read its files. Required.
	Path string `json:"path"`
	// Sync makes every acknowledged write durable before it is acknowledged. Default true; without it a crash
	// of the machine may lose the last writes, a crash of the process does not.
	Sync *bool `json:"sync,omitempty"`
	// EncryptionKey encrypts the database at rest with AES: 16, 24 or 32 bytes in hex. Empty means no
	// encryption. A database keeps the key that it was created with.
	EncryptionKey string `json:"encryption_key,omitempty"`
	// MemoryMiB is how much memory the database is to get along with, in MiB: its tables in memory, its
	// caches, and what writing and sorting tables takes for a moment follow from it. Not less than
	// MinMemoryMiB. Default: half of the machine's memory, or of the limit of the process's cgroup where that
	// is less, but at most DefaultMemoryMiB. A database may be opened with another value at any time.
	MemoryMiB int `json:"memory_mib,omitempty"`
	// CacheMiB bounds the cache of decoded blocks, in MiB, where it is to be another than the eighth of
	// MemoryMiB. What it is larger comes on top of that.
	CacheMiB int `json:"cache_mib,omitempty"`
	// MinFreeMiB is how much of the disk stays free, in MiB: with less, changes are refused as ErrNoSpace.
	// Reads go on, and so do ends, revocations and purges until half of it is left, which a database also
	// needs to be opened. Default 512.
	MinFreeMiB int `json:"min_free_mib,omitempty"`

	// root is the file system that shows the machine's memory; os.DirFS("/") when nil.
	root fs.FS
}

const (
	// Half of it is more than what Badger needs for a moment: 64 MiB to write what is in memory to a table,
	// and up to 145 (seen while 300,000 sessions signed in) for a compaction, which deletes nothing before it
	// has written all.
	defaultMinFreeMiB = 512
)

// minFree is how much of the disk stays free, in bytes.
func (s *Settings) minFree() uint64 {
	return uint64(cmp.Or(s.MinFreeMiB, defaultMinFreeMiB)) << 20
}

// String keeps the encryption key out of logs.
func (s Settings) String() string {
	encrypted := s.EncryptionKey != ""
	return fmt.Sprintf("path=%s sync=%t encrypted=%t memory_mib=%d cache_mib=%d min_free_mib=%d",
		s.Path, s.sync(), encrypted, s.MemoryMiB, s.CacheMiB, s.MinFreeMiB)
}

// GoString does what String does.
func (s Settings) GoString() string { return s.String() }

func (s Settings) sync() bool { return s.Sync == nil || *s.Sync }

// ParseSettings reads settings from JSON. An unknown field and a bad value are *ticketstore.FieldError naming
// it.
func ParseSettings(raw []byte) (Settings, error) {
	s, err := program.ParseSettings[Settings]("badger", raw)
	if err == nil {
		_, err = s.validate()
	}
	return s, err
}

// validate checks all of the settings and returns the encryption key.
func (s *Settings) validate() (encryption []byte, err error) {
	var problems []error
	if s.Path == "" {
		problems = append(problems, ticketstore.Invalidf("path",
			"is missing: name the folder of the database"))
	}
	if s.MemoryMiB != 0 && (s.MemoryMiB < MinMemoryMiB || s.MemoryMiB > maxMemoryMiB) {
		problems = append(problems, ticketstore.Invalidf("memory_mib", "is outside %d to %d", MinMemoryMiB,
			maxMemoryMiB))
	}
	if s.CacheMiB < 0 || s.CacheMiB > 1<<16 {
		problems = append(problems, ticketstore.Invalidf("cache_mib", "is outside 0 to 65536"))
	}
	if s.MinFreeMiB < 0 || s.MinFreeMiB > 1<<20 {
		problems = append(problems, ticketstore.Invalidf("min_free_mib", "is outside 0 to 1048576"))
	}
	encryption, err = hex.DecodeString(s.EncryptionKey)
	if err != nil || !validKeyLength(len(encryption)) {
		problems = append(problems, ticketstore.Invalidf("encryption_key",
			"is not 16, 24 or 32 bytes in hex"))
	}
	if len(problems) == 1 {
		return nil, problems[0]
	}
	return encryption, errors.Join(problems...)
}

func validKeyLength(n int) bool { return n == 0 || n == 16 || n == 24 || n == 32 }
