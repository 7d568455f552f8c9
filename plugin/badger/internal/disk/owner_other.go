//go:build !unix

package disk

// Systems without owners of folders.

import (
	"io/fs"
	"os"
)

// folderOwner is the owner of a folder.
type folderOwner struct{ uid, gid int }

// folderOwnerOf returns false: owners are unknown.
func folderOwnerOf(os.FileInfo) (folderOwner, bool) { return folderOwner{}, false }

func (o folderOwner) name() string  { return "" }
func (o folderOwner) runAs() string { return "" }
func (o folderOwner) inGroup() bool { return false }

func fileMode() fs.FileMode { return 0 }
