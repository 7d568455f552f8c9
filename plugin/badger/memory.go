package badger

// The memory budget of the engine, and its distribution over Badger's options.

import (
	"io/fs"
	"os"
	"reflect"
	"unsafe"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/internal/machine"
)

// Bounds of Settings.MemoryMiB.
const (
	// MinMemoryMiB is the minimum for a database.
	MinMemoryMiB = 64
	// DefaultMemoryMiB is the default on a machine or in a cgroup with at least twice as much; with less, the
	// default is half of it.
	DefaultMemoryMiB = 512
	maxMemoryMiB     = 1 << 20
)

// formerTable is the size of memory tables before the setting existed: Badger's default.
const formerTable = 64 << 20

// budget is the distribution of the memory, in bytes.
type budget struct {
	// total is the memory of the process.
	total int64
	// table is the size of Badger's memory tables. There are three: one being written to, one being flushed,
	// and one waiting. Flushing takes twice its size, and each compaction keeps buffers of about its size.
	table int64
	// cache holds decoded blocks; index holds decoded table indexes, which only an encrypted database has.
	cache, index int64
	// recent is for recently used rows (kv.Config.Recent).
	recent int64
}

// budget distributes the memory of the settings.
func (s *Settings) budget() budget {
	total := int64(s.MemoryMiB) << 20
	if total == 0 {
		total = defaultMemory(s.root)
	}
	b := budget{
		total: total,
		// A transaction is limited to 15 % of a memory table: the largest change, of grantstore.MaxBatchData,
		// must fit.
		table:  min(max(total/16, 12<<20), formerTable),
		cache:  total / 8,
		index:  total / 16,
		recent: total / 16,
	}
	if rest := total - DefaultMemoryMiB<<20; rest > 0 {
		b.cache += rest / 2
	}
	if cache := int64(s.CacheMiB) << 20; cache > 0 {
		b.total += max(0, cache-b.cache)
		b.cache = cache
	}
	return b
}

// defaultMemory returns half of the available memory, within the bounds.
func defaultMemory(root fs.FS) int64 {
	if root == nil {
		root = os.DirFS("/")
	}
	return machine.Half(root, MinMemoryMiB<<20, DefaultMemoryMiB<<20)
}

// apply sets Badger's options.
func (b budget) apply(o badger.Options) badger.Options {
	// Tables have the same size on every level. By default Badger doubles it per level, and a compaction of
	// the last level, which builds up to 13 tables at once at several times their size each, took 500 MiB.
	o.TableSizeMultiplier = 1
	o = o.
		WithMemTableSize(b.table).
		WithNumMemtables(1).
		WithBlockCacheSize(b.cache).
		WithIndexCacheSize(b.index).
		WithBaseTableSize(min(max(b.total/128, 1<<20), 8<<20)).
		// More compactors would occupy both cores of a small machine.
		WithNumCompactors(2).
		// A compaction rewrites level 0 before it deletes it: see defaultMinFreeMiB.
		WithNumLevelZeroTables(3)
	if b.total < DefaultMemoryMiB<<20 {
		// Badger may sort four or more tables of level 0 into one, which takes 256 MiB: never allow that
		// many.
		o = o.WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(3)
	}
	return o
}

// releaseBuffers makes Badger free the buffers in which it builds tables once a table is written. Otherwise
// it keeps eight of them, each grown to the largest table it was used for, and has no option to change this.
// Without its pool it allocates them anew. It reports whether this version of Badger has such a pool. A
// compaction that is starting at this moment may still use the pool, which is harmless: the field is read
// once per table. The race detector would report it.
//
//go:norace
func releaseBuffers(db *badger.DB) bool {
	field := reflect.ValueOf(db).Elem().FieldByName("allocPool")
	if !field.IsValid() || field.Kind() != reflect.Pointer {
		return false
	}
	*(*unsafe.Pointer)(field.Addr().UnsafePointer()) = nil
	return true
}

// LimitProcess limits the memory of this process to that of the settings by Go's runtime, unless GOMEMLIMIT
// is set. Call it from a plugin's main function. Programs that embed the engine should set their own limit.
func (s *Settings) LimitProcess() {
	// Much of the memory that the smallest databases allocate is never touched: with a lower limit the
	// garbage collector would run all the time.
	machine.Limit(max(s.budget().total, 2*MinMemoryMiB<<20))
}
