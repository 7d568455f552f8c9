// Package baddisk gives tests disks that fail: a small file system that turns read-only, and syncs that fail in a process.
package baddisk
