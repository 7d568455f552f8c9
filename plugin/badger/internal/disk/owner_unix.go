//go:build unix

package disk

// Owners of folders by user and group ids.

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// folderOwner is whom a folder belongs to.
type folderOwner struct{ uid, gid int }

// folderOwnerOf returns the owner of a file or folder.
func folderOwnerOf(info os.FileInfo) (folderOwner, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return folderOwner{}, false
	}
	return folderOwner{int(stat.Uid), int(stat.Gid)}, true
}

// name is the owner's, or its number where it has none.
func (o folderOwner) name() string {
	if found, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		return found.Username
	}
	return fmt.Sprintf("uid %d", o.uid)
}

// runAs is a command that runs another one as the owner.
func (o folderOwner) runAs() string {
	if found, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		return "runuser -u " + found.Username + " --"
	}
	return fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups", o.uid, o.gid)
}

// inGroup reports whether this process is in the group of the folder.
func (o folderOwner) inGroup() bool {
	groups, err := os.Getgroups()
	return err == nil && (o.gid == os.Getegid() || slices.Contains(groups, o.gid))
}

// fileMode is the mode of a file that Badger makes.
func fileMode() fs.FileMode {
	umask := syscall.Umask(0o077) // there is no other way to read it
	syscall.Umask(umask)
	return 0o666 &^ fs.FileMode(umask)
}
