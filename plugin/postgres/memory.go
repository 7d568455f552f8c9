package postgres

// The memory of the plugin's process.

import (
	"os"
	"runtime/debug"

	"github.com/fosite-sessions/sessions/plugin/internal/machine"
)

const (
	// leastMemory and mostMemory bound the limit that the process is kept to, in bytes.
	leastMemory, mostMemory = 64 << 20, 256 << 20
	// heapGrowth is by how many percent the heap grows until it is collected, where there is room.
	heapGrowth = 400
)

// LimitProcess has Go's runtime keep this process to half of the memory of its machine or cgroup, 64 to 256
// MiB, unless GOMEMLIMIT says otherwise, and collect less often than by default below that, unless GOGC does.
// The engine keeps next to nothing, so that the collector would run every few MiB. It is for the main
// function of a plugin; a program that opens a store beside its own work knows better what it needs.
func LimitProcess() {
	machine.Limit(machine.Half(os.DirFS("/"), leastMemory, mostMemory))
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}
