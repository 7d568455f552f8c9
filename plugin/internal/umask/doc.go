// Package umask says what others than a folder's owner and its group get of the files that a process makes: nothing. The group counts
// where a volume belongs to one; a store there refuses to be opened by a process whose files others could read.
package umask
