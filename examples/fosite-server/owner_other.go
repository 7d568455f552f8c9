//go:build !unix

package main

// Owners of files where there are none.

import "io/fs"

// ownerOf knows no owners here.
func ownerOf(fs.FileInfo) (uid int, known bool) { return 0, false }
