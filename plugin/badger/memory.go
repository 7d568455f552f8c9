package badger

// The memory budget of the engine, shared out to Badger's options.

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
	// MinMemoryMiB is the least that a database works with.
	MinMemoryMiB = 64
	// DefaultMemoryMiB is the default of a machine, or a cgroup, that has twice as much or more; of a smaller
	// one it is half.
	DefaultMemoryMiB = 512
	maxMemoryMiB     = 1 << 20
)

// formerTable is the size of memory tables before there was a setting: Badger's default.
const formerTable = 64 << 20

// budget is how the memory is shared out, in bytes.
type budget struct {
	// total is what the process is to get along with.
	total int64
	// table is the size of Badger's memory tables. There is one that is written to, one that is written to
	// the disk, and one in between. Writing one to the disk takes twice its size, and each compaction keeps
	// buffers of about as much.
	table int64
	// cache holds decoded blocks, index the decoded indexes of tables, which only an encrypted database has.
	cache, index int64
	// recent is for rows that were used lately (kv.Config.Recent).
	recent int64
}

// budget shares out the memory of the settings.
func (s *Settings) budget() budget {
	total := int64(s.MemoryMiB) << 20
	if total == 0 {
		total = defaultMemory(s.root)
	}
	b := budget{
		total: total,
		// A transaction takes 15 % of a memory table: the largest change, of grantstore.MaxBatchData, has to
		// fit.
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

// defaultMemory is half of what there is, within the bounds.
func defaultMemory(root fs.FS) int64 {
	if root == nil {
		root = os.DirFS("/")
	}
	return machine.Half(root, MinMemoryMiB<<20, DefaultMemoryMiB<<20)
}

// apply sets Badger's options.
func (b budget) apply(o badger.Options) badger.Options {
	// Tables are of one size on every level. Badger doubles it from level to level otherwise, and a
	// compaction of the deepest one, which builds up to 13 tables at once at several times their size each,
	// took 500 MiB.
	o.TableSizeMultiplier = 1
	o = o.
		WithMemTableSize(b.table).
		WithNumMemtables(1).
		WithBlockCacheSize(b.cache).
		WithIndexCacheSize(b.index).
		WithBaseTableSize(min(max(b.total/128, 1<<20), 8<<20)).
		// Compaction takes both cores of a small machine otherwise.
		WithNumCompactors(2).
		// A compaction writes level 0 again before it deletes it: see defaultMinFreeMiB.
		WithNumLevelZeroTables(3)
	if b.total < DefaultMemoryMiB<<20 {
		// Four or more tables of level 0 may be sorted into one, for which Badger takes 256 MiB: there are
		// never that many.
		o = o.WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(3)
	}
	return o
}

// releaseBuffers has Badger let go of the buffers that it builds tables in once a table is written. It keeps
// eight of them otherwise, of which each grows to the largest table that it was ever used for, and has no
// option for that. Without its pool it makes them again. It reports whether this Badger has such a pool. A
// compaction that begins at this very moment may still use the pool, which does no harm: it is read once for
// each table. The race detector would call that a race.
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

// LimitProcess has Go's runtime keep this process to the memory of the settings, unless GOMEMLIMIT says
// otherwise. It is for the main function of a plugin, whose only work is the database; a program that opens
// one beside its own work knows better what it needs.
func (s *Settings) LimitProcess() {
	// Much of what the smallest ones have allocated is never touched: with less the collector would run all
	// the time.
	machine.Limit(max(s.budget().total, 2*MinMemoryMiB<<20))
}
