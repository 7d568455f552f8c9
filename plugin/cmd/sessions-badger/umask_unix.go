//go:build unix

package main

import "syscall"

// What others than a folder's owner and its group get of the files that Badger makes: nothing. The group counts where a volume belongs to one.
func init() { syscall.Umask(0o007) }
