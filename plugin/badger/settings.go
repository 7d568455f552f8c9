package badger

// The settings of the engine, which the host sends as JSON.

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/fosite-sessions/sessions/plugin/internal/program"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Settings configure the engine.
type Settings struct {
	// Path is the folder of the database. It is created with mode 0700 if missing. A folder of another user
	// is accepted, with a warning, if it belongs to a group of this process, like a Kubernetes volume with an
	// fsGroup, and others cannot read its files. Required.
	Path string `json:"path"`
	// Sync makes every write durable before it is acknowledged. Default true; without it a crash of the
	// machine may lose the last writes, a crash of the process does not.
	Sync *bool `json:"sync,omitempty"`
	// EncryptionKey encrypts the database at rest with AES: 16, 24 or 32 bytes in hex. Empty means no
	// encryption. The key of a database cannot be changed.
	EncryptionKey string `json:"encryption_key,omitempty"`
	// MemoryMiB is the memory budget of the database in MiB: the sizes of memory tables and caches, and the
	// temporary memory of flushes and compactions, follow from it. At least MinMemoryMiB. Default: half of
	// the machine's memory, or of the limit of the process's cgroup if that is less, but at most
	// DefaultMemoryMiB. It may be changed whenever the database is opened.
	MemoryMiB int `json:"memory_mib,omitempty"`
	// CacheMiB is the size of the cache of decoded blocks in MiB, by default an eighth of MemoryMiB. A larger
	// cache adds to MemoryMiB.
	CacheMiB int `json:"cache_mib,omitempty"`
	// MinFreeMiB is the free disk space to preserve, in MiB: with less, changes are refused with ErrNoSpace.
	// Reads continue, and so do ends, revocations and purges until half of it is left, which is also needed
	// to open the database. Default 512.
	MinFreeMiB int `json:"min_free_mib,omitempty"`

	// root is the file system used to detect the machine's memory; os.DirFS("/") if nil.
	root fs.FS
}

// Half of it is more than Badger's temporary needs: 64 MiB to flush a memory table, and up to 145 MiB
// (measured while 300,000 sessions signed in) for a compaction, which deletes nothing before it has written
// everything.
const defaultMinFreeMiB = 512

// minFree returns the free disk space to preserve, in bytes.
func (s *Settings) minFree() uint64 {
	return uint64(cmp.Or(s.MinFreeMiB, defaultMinFreeMiB)) << 20
}

// String omits the encryption key.
func (s Settings) String() string {
	encrypted := s.EncryptionKey != ""
	return fmt.Sprintf("path=%s sync=%t encrypted=%t memory_mib=%d cache_mib=%d min_free_mib=%d",
		s.Path, s.sync(), encrypted, s.MemoryMiB, s.CacheMiB, s.MinFreeMiB)
}

// GoString is String.
func (s Settings) GoString() string { return s.String() }

func (s Settings) sync() bool { return s.Sync == nil || *s.Sync }

// ParseSettings parses settings from JSON. Unknown fields and bad values are *ticketstore.FieldErrors.
func ParseSettings(raw []byte) (Settings, error) {
	s, err := program.ParseSettings[Settings]("badger", raw)
	if err == nil {
		_, err = s.validate()
	}
	return s, err
}

// validate validates all settings and returns the encryption key.
func (s *Settings) validate() (encryption []byte, err error) {
	var problems []error
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			problems = append(problems, ticketstore.Invalidf(field, format, args...))
		}
	}
	check(s.Path != "", "path", "is missing: name the folder of the database")
	check(s.MemoryMiB == 0 || s.MemoryMiB >= MinMemoryMiB && s.MemoryMiB <= maxMemoryMiB, "memory_mib",
		"is outside %d to %d", MinMemoryMiB, maxMemoryMiB)
	check(s.CacheMiB >= 0 && s.CacheMiB <= 1<<16, "cache_mib", "is outside 0 to 65536")
	check(s.MinFreeMiB >= 0 && s.MinFreeMiB <= 1<<20, "min_free_mib", "is outside 0 to 1048576")
	encryption, err = hex.DecodeString(s.EncryptionKey)
	check(err == nil && slices.Contains([]int{0, 16, 24, 32}, len(encryption)), "encryption_key",
		"is not 16, 24 or 32 bytes in hex")
	return encryption, errors.Join(problems...)
}
