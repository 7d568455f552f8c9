package disk

// Owner and modes of a store's folder.

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// MarkerFile is the file that says which store a folder holds (folder/marker.go): it belongs to the user of
// the store.
const MarkerFile = "SESSIONS"

// Modes of folders and files.
const (
	ForOwner  fs.FileMode = 0o700
	forOthers fs.FileMode = 0o007
	// What the group of a volume gets, of a folder and of a file.
	forGroup     fs.FileMode = 0o070
	FileOfGroup  fs.FileMode = 0o660
	writeByOther fs.FileMode = 0o002
)

// KeepPrivate shuts a folder that this process has not made: Badger's own files can be read by all. A
// folder of another user cannot be shut. It is taken where it belongs to a group of this process, as a
// Kubernetes volume with an fsGroup does, nobody else may write in it, and no file in it can be read by
// others. A volume of a group that is not the process's own stays open to it, also for its owner and for
// root: the server may be one of the group.
func KeepPrivate(ctx context.Context, path string, logger *slog.Logger) error {
	info, err := os.Stat(path)
	if err != nil {
		return ticketstore.Invalidf("path", "cannot be read as a folder: %v", err)
	}
	owner, known := folderOwnerOf(info)
	if !known || owner.uid == os.Geteuid() || os.Geteuid() == 0 {
		wanted := ForOwner
		if known && owner.ofOtherGroup(info) {
			wanted = info.Mode()&(fs.ModeSetgid|fs.ModePerm)&^forOthers | ForOwner
			warnOfGroup(ctx, path, owner, info, logger)
		}
		if info.Mode().Perm() == wanted.Perm() {
			return nil
		}
		if err := os.Chmod(path, wanted); err != nil {
			return ticketstore.Invalidf("path", "cannot be kept private: %v", err)
		}
		return nil
	}
	refuse := func(why string) error {
		return ticketstore.Invalidf("path",
			"%s belongs to %s and group %d with mode %04o, and this process is uid %d, gid %d: %s. "+
				"Give the folder to this user (chown -R %d %s), or to a group of this process and to nobody "+
				"else (chgrp -R GROUP %[9]s && chmod -R o=,g+rwX %[9]s)",
			path, owner.name(), owner.gid, modeOf(info), os.Geteuid(), os.Getegid(), why, os.Geteuid(), path)
	}
	mode := info.Mode().Perm()
	switch {
	case mode&writeByOther != 0:
		return refuse("others may write in it")
	case !owner.inGroup() || mode&forGroup != forGroup:
		return refuse("it may not write in it")
	case mode&forOthers != 0 && fileMode()&forOthers != 0:
		return refuse(fmt.Sprintf("others may look into it, and would read its files "+
			"(the umask of this process leaves them mode %04o)", fileMode()))
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return ticketstore.Invalidf("path", "cannot be read as a folder: %v", err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && mode&forOthers != 0 && info.Mode().Perm()&forOthers != 0 {
			return refuse(entry.Name() + " can be read by others")
		}
	}
	warnOfGroup(ctx, path, owner, info, logger)
	return nil
}

func warnOfGroup(ctx context.Context, path string, owner folderOwner, info os.FileInfo, logger *slog.Logger) {
	logger.WarnContext(ctx,
		"the folder of the store belongs to a group: all of it may read and write the store",
		"path", path, "owner", owner.name(), "group", owner.gid, "mode", fmt.Sprintf("%04o", modeOf(info)))
}

// ofOtherGroup reports whether a folder is shared with a group that is not this process's own.
func (o folderOwner) ofOtherGroup(info os.FileInfo) bool {
	return info.Mode().Perm()&forGroup == forGroup && o.gid != os.Getegid()
}

// modeOf is a mode as chmod takes it.
func modeOf(info os.FileInfo) uint32 {
	mode := uint32(info.Mode().Perm())
	if info.Mode()&fs.ModeSetgid != 0 {
		mode |= 0o2000
	}
	return mode
}

// OfGroup reports whether a folder is one that this process shares with a group.
func OfGroup(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&forGroup == forGroup
}

// ShareFiles gives the group what it needs of the files that this process has made: Badger makes some for
// their owner alone.
func ShareFiles(path string) error {
	if !OfGroup(path) {
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() == FileOfGroup {
			continue // gone meanwhile
		}
		if owner, known := folderOwnerOf(info); !known || owner.uid != os.Geteuid() {
			continue
		}
		if err := os.Chmod(filepath.Join(path, entry.Name()), FileOfGroup); err != nil &&
			!os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// OwnedBy says whose a folder is, and how to work on it, where it is another user's.
func OwnedBy(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	owner, known := folderOwnerOf(info)
	if !known || owner.uid == os.Geteuid() {
		return ""
	}
	return fmt.Sprintf("; it belongs to %s: run the command as that user (%s %s …)",
		owner.name(), owner.runAs(), filepath.Base(os.Args[0]))
}

// CheckOwner refuses the folder of another user, naming that and how to run a command as it: what root
// would write there a server of its owner could not read. A folder that is missing has no owner, and one of
// a group is taken as Open takes it, but not by root, unless the store in it is root's.
func CheckOwner(path string) error {
	if whose := OwnedBy(path); whose != "" && (!OfGroup(path) || os.Geteuid() == 0) {
		return ticketstore.Invalidf("path", "%s is not this user's%s", path, whose)
	}
	info, err := os.Stat(path)
	if err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // what opens it says so
	}
	folder, known := folderOwnerOf(info)
	if !known || !folder.ofOtherGroup(info) {
		return nil
	}
	uid := "UID"
	if info, err := os.Stat(filepath.Join(path, MarkerFile)); err == nil {
		owner, _ := folderOwnerOf(info)
		if owner.uid == 0 {
			return nil
		}
		uid = strconv.Itoa(owner.uid)
	}
	return ticketstore.Invalidf("path",
		"%s belongs to group %d, whose server could not read what root writes there: "+
			"run the command as the user of the server (setpriv --reuid=%s --regid=%d --clear-groups %s …)",
		path, folder.gid, uid, folder.gid, filepath.Base(os.Args[0]))
}
