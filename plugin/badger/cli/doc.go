// Package cli has the offline commands of the sessions-badger binary: check, stats, export, import and
// migrate, for a store that no process has open. There is one command a file.
package cli
