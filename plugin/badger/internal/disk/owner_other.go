//go:build !unix

package disk

// Systems without owners of folders.

import (
	"io/fs"
	"os"
)

// folderOwner is whom a folder belongs to.
type folderOwner struct{ uid, gid int }

// folderOwnerOf knows no owner where the system has none of this kind.
func folderOwnerOf(os.FileInfo) (folderOwner, bool) { return folderOwner{}, false }

func (o folderOwner) name() string  { return "" }
func (o folderOwner) runAs() string { return "" }
func (o folderOwner) inGroup() bool { return false }

func fileMode() fs.FileMode { return 0 }
