// Package machine determines and limits the memory of this process.
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

// Memory returns the memory available to this process in bytes: the minimum of the machine's memory and the
// limits of its cgroup and the cgroup's ancestors, of versions 1 and 2. It returns 0 if unknown. root is the
// root of the file system: os.DirFS("/").
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

// Half returns half of Memory, within bounds, or the upper bound if unknown.
func Half(root fs.FS, least, most int64) int64 {
	half := most
	if all := Memory(root); all > 0 {
		half = all / 2
	}
	return min(max(half, least), most)
}

// Limit sets the memory limit of Go's runtime, unless GOMEMLIMIT is set.
func Limit(memory int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
}

// total returns the machine's memory.
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

// number reads a limit, 0 if there is none.
func number(root fs.FS, name string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	// "max" is not a number. Version 1 has about 2^63 for no limit.
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return n
}

// group is the location of the limits of this process's cgroup.
type group struct {
	mount, folder string
	files         []string
}

// groups returns a group for each mounted version that limits memory.
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
				// In a container the mount may show only a part of the tree. If the path is outside of it,
				// our position is unknown.
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

// within returns a path relative to a folder that contains it.
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
