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

// folderOwner is the owner of a folder.
type folderOwner struct{ uid, gid int }

// folderOwnerOf returns the owner of a file or folder.
func folderOwnerOf(info os.FileInfo) (folderOwner, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return folderOwner{}, false
	}
	return folderOwner{int(stat.Uid), int(stat.Gid)}, true
}

// name returns the owner's name, or the numeric id if there is none.
func (o folderOwner) name() string {
	if found, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		return found.Username
	}
	return fmt.Sprintf("uid %d", o.uid)
}

// runAs returns a command that runs another command as the owner.
func (o folderOwner) runAs() string {
	if found, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		return "runuser -u " + found.Username + " --"
	}
	return fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups", o.uid, o.gid)
}

// inGroup reports whether this process is in the folder's group.
func (o folderOwner) inGroup() bool {
	groups, err := os.Getgroups()
	return err == nil && (o.gid == os.Getegid() || slices.Contains(groups, o.gid))
}

// fileMode returns the mode of a file created by Badger.
func fileMode() fs.FileMode {
	umask := syscall.Umask(0o077) // the umask cannot be read otherwise
	syscall.Umask(umask)
	return 0o666 &^ fs.FileMode(umask)
}
