package disk

// Owner and mode of a store's folder.

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

// MarkerFile identifies the store in a folder (folder/marker.go). Its owner is the user of the store.
const MarkerFile = "SESSIONS"

// Modes of folders and files.
const (
	ForOwner  fs.FileMode = 0o700
	forOthers fs.FileMode = 0o007
	// Group permissions on a volume's folder and files.
	forGroup     fs.FileMode = 0o070
	FileOfGroup  fs.FileMode = 0o660
	writeByOther fs.FileMode = 0o002
)

// KeepPrivate restricts access to a folder that this process has not created, because Badger's files are
// readable by all. A folder of another user cannot be changed. It is accepted if it belongs to a group of
// this process, like a Kubernetes volume with an fsGroup, nobody else can write to it, and its files are not
// readable by others. A volume of a group other than the process's primary group stays accessible to it, even
// for its owner and for root, because the server may be in that group.
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

// ofOtherGroup reports whether a folder is shared with a group other than this process's primary group.
func (o folderOwner) ofOtherGroup(info os.FileInfo) bool {
	return info.Mode().Perm()&forGroup == forGroup && o.gid != os.Getegid()
}

// modeOf returns a mode as chmod takes it.
func modeOf(info os.FileInfo) uint32 {
	mode := uint32(info.Mode().Perm())
	if info.Mode()&fs.ModeSetgid != 0 {
		mode |= 0o2000
	}
	return mode
}

// OfGroup reports whether this process shares a folder with a group.
func OfGroup(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&forGroup == forGroup
}

// ShareFiles gives the group access to the files that this process has created: Badger creates some for their
// owner only.
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
			continue // deleted meanwhile
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

// OwnedBy describes the owner of a folder and how to work on it, if it is another user's.
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

// CheckOwner refuses a folder of another user, with an error that names the user and how to run the command
// as that user: files written by root would be unreadable for the owner's server. A missing folder has no
// owner. A folder shared by a group is accepted as by Open, but for root only if the store in it belongs to
// root.
func CheckOwner(path string) error {
	if whose := OwnedBy(path); whose != "" && (!OfGroup(path) || os.Geteuid() == 0) {
		return ticketstore.Invalidf("path", "%s is not this user's%s", path, whose)
	}
	info, err := os.Stat(path)
	if err != nil || os.Geteuid() != 0 {
		return nil //nolint:nilerr // reported when it is opened
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
