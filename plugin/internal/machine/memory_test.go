package machine

import (
	"os"
	"testing"
	"testing/fstest"
)

const mib = 1 << 20

func TestMemory(t *testing.T) {
	t.Parallel()
	const (
		meminfo = "MemTotal:       8388608 kB\nMemFree: 1 kB\n" // 8 GiB
		v1      = "40 30 0:36 / /sys/fs/cgroup/memory rw,relatime shared:17 - cgroup cgroup rw,memory\n" +
			"41 30 0:37 / /sys/fs/cgroup/pids rw,relatime shared:18 - cgroup cgroup rw,pids\n"
		v2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		none   = "9223372036854771712\n"
		limit1 = "sys/fs/cgroup/memory/"
	)
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no files": {nil, 0},
		"no cgroup": {map[string]string{
			"proc/meminfo": meminfo,
		}, 8192 * mib},
		"version 2": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/app/web\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/app/memory.max": "max\n", "sys/fs/cgroup/app/web/memory.max": "268435456\n",
		}, 256 * mib},
		"version 2, a lower limit of an ancestor": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/app/web\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/app/memory.max": "134217728\n", "sys/fs/cgroup/app/web/memory.max": "268435456\n",
		}, 128 * mib},
		"version 2, throttled before it is full": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/app\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/app/memory.max": "268435456\n", "sys/fs/cgroup/app/memory.high": "201326592\n",
		}, 192 * mib},
		"version 2, no limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/app\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/app/memory.max": "max\n",
		}, 8192 * mib},
		"version 2 in a container": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/memory.max": "268435456\n",
		}, 256 * mib},
		"version 1": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "5:pids:/other\n4:memory:/app/web\n0::/\n",
			"proc/self/mountinfo":            v1,
			limit1 + "memory.limit_in_bytes": none, limit1 + "app/memory.limit_in_bytes": none,
			limit1 + "app/web/memory.limit_in_bytes": "268435456\n",
		}, 256 * mib},
		"version 1, a lower limit of an ancestor": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:cpuset,memory:/app/web\n",
			"proc/self/mountinfo":                    v1,
			limit1 + "app/memory.limit_in_bytes":     "134217728\n",
			limit1 + "app/web/memory.limit_in_bytes": "268435456\n",
		}, 128 * mib},
		"version 1, no limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n", "proc/self/mountinfo": v1,
			limit1 + "memory.limit_in_bytes": none,
		}, 8192 * mib},
		"version 1, no limit, in full": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n", "proc/self/mountinfo": v1,
			limit1 + "memory.limit_in_bytes": "18446744073709551615\n",
		}, 8192 * mib},
		"version 1, a part of the tree is mounted": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/docker/abc/web\n",
			"proc/self/mountinfo": "40 30 0:36 /docker/abc /sys/fs/cgroup/memory ro - " +
				"cgroup cgroup rw,memory\n",
			limit1 + "memory.limit_in_bytes":     "268435456\n",
			limit1 + "web/memory.limit_in_bytes": "134217728\n",
		}, 128 * mib},
		"version 1, elsewhere in the tree": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/../abc\n", "proc/self/mountinfo": v1,
			limit1 + "memory.limit_in_bytes": "268435456\n",
		}, 256 * mib},
		"both versions, the memory in version 1": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/app\n0::/app\n",
			"proc/self/mountinfo": v1 +
				"42 30 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			limit1 + "app/memory.limit_in_bytes": "268435456\n",
		}, 256 * mib},
		"a limit above the memory": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/app\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/app/memory.max": "17179869184\n",
		}, 8192 * mib},
		"malformed files": {map[string]string{
			"proc/meminfo": "MemTotal:\nMemTotal: x kB\n", "proc/self/cgroup": "\n4\n0::/app\n",
			"proc/self/mountinfo":          "x\n - \n1 2 3 - 4\n" + v2,
			"sys/fs/cgroup/app/memory.max": "a lot\n", "sys/fs/cgroup/memory.max": "-1\n",
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := fstest.MapFS{}
			for file, text := range c.files {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := Memory(root); got != c.want {
				t.Errorf("Memory: %d MiB, want %d", got/mib, c.want/mib)
			}
		})
	}
}

func TestHalf(t *testing.T) {
	t.Parallel()
	for meminfo, want := range map[string]int64{
		"":                          256,
		"MemTotal: 65536 kB\n":      64,
		"MemTotal: 262144 kB\n":     128,
		"MemTotal: 1073741824 kB\n": 256,
	} {
		root := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
		if got := Half(root, 64*mib, 256*mib); got != want*mib {
			t.Errorf("with %q: %d MiB, want %d", meminfo, got/mib, want)
		}
	}
}

// On Linux this machine reports a value.
func TestMemoryOfThisMachine(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/meminfo"); err != nil {
		t.Skip("no /proc here")
	}
	if got := Memory(os.DirFS("/")); got < mib {
		t.Errorf("Memory: %d bytes", got)
	}
}
