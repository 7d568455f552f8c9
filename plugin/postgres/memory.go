package postgres

// The memory of the plugin's process.

import (
	"os"
	"runtime/debug"

	"github.com/fosite-sessions/sessions/plugin/internal/machine"
)

const (
	// leastMemory and mostMemory bound the memory limit of the process, in bytes.
	leastMemory, mostMemory = 64 << 20, 256 << 20
	// heapGrowth is GOGC, the heap growth in percent between collections, below the limit.
	heapGrowth = 400
)

// LimitProcess limits the memory of this process to half of that of its machine or cgroup, 64 to 256 MiB,
// unless GOMEMLIMIT is set, and collects garbage less often than by default below that, unless GOGC is set:
// the engine keeps next to nothing in memory, so that the collector would run every few MiB. Call it from a
// plugin's main function. Programs that embed the engine should set their own limit.
func LimitProcess() {
	machine.Limit(machine.Half(os.DirFS("/"), leastMemory, mostMemory))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}
