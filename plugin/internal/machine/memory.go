// Package machine says how much memory this process may take, and holds it to that.
package machine

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// Memory returns the bytes of memory that this process may use: the least of what the machine has and of the
// limits of its cgroup and of the cgroup's ancestors, of version 1 and 2. It is 0 where the system says none
// of that. The root is that of the file system: os.DirFS("/").
func Memory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	take := func(n int64) {
		if n > 0 {
			least = min(least, n)
		}
	}
	take(total(root))
	for _, group := range groups(root) {
		for {
			for _, file := range group.files {
				take(number(root, path.Join(group.folder, file)))
			}
			if group.folder == group.mount {
				break
			}
			group.folder = path.Dir(group.folder)
		}
	}
	if least == math.MaxInt64 {
		return 0
	}
	return least
}

// Half is half of Memory, within bounds; the upper one where the system says nothing.
func Half(root fs.FS, least, most int64) int64 {
	half := most
	if all := Memory(root); all > 0 {
		half = all / 2
	}
	return min(max(half, least), most)
}

// Limit has Go's runtime keep this process to so many bytes, unless GOMEMLIMIT says otherwise.
func Limit(memory int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
}

// total is the machine's memory.
func total(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if fields := strings.Fields(string(line)); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// number reads a limit; 0 where there is none.
func number(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	// "max" is no number. Version 1 says some 2^63 for no limit.
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return n
}

// group is where the limits of this process's cgroup are.
type group struct {
	mount, folder string
	files         []string
}

// groups returns one of each version that is mounted and limits memory.
func groups(root fs.FS) (found []group) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range bytes.Lines(text) {
		// hierarchy:controllers:path
		fields := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var mounted func(m mount) bool
		g := group{files: []string{"memory.limit_in_bytes"}}
		switch {
		case fields[0] == "0" && fields[1] == "":
			g.files = []string{"memory.max", "memory.high"}
			mounted = func(m mount) bool { return m.kind == "cgroup2" }
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			mounted = func(m mount) bool { return m.kind == "cgroup" && slices.Contains(m.options, "memory") }
		default:
			continue
		}
		for _, m := range mounts(root) {
			if mounted(m) {
				g.mount, g.folder = m.point, m.point
				// In a container the mount may show a part of the tree only. A path outside of it says
				// nothing about where we are in it.
				if below, ok := within(fields[2], m.root); ok {
					g.folder = path.Join(m.point, below)
				}
				found = append(found, g)
				break
			}
		}
	}
	return found
}

// within returns a path as it is seen from a folder above it.
func within(name, folder string) (string, bool) {
	if name == folder {
		return "", true
	}
	below, ok := strings.CutPrefix(name, strings.TrimSuffix(folder, "/")+"/")
	return below, ok && !strings.HasPrefix(below, "..")
}

// mount is a line of mountinfo (proc_pid_mountinfo(5)), its point relative to the root.
type mount struct {
	root, point, kind string
	options           []string
}

func mounts(root fs.FS) (all []mount) {
	file, err := root.Open("proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		before, after, found := strings.Cut(lines.Text(), " - ")
		fields, super := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(super) < 3 {
			continue
		}
		all = append(all, mount{
			root: fields[3], point: strings.TrimPrefix(fields[4], "/"),
			kind: super[0], options: strings.Split(super[2], ","),
		})
	}
	return all
}
