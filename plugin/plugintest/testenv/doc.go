// Package testenv has what tests of several packages share: disks that fail, as a small file system that
// turns read-only, or as syncs that fail in a process.
package testenv
