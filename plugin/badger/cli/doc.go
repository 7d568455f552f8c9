// Package cli implements the offline commands of the sessions-badger binary: check, stats, export, import and
// migrate, for a store that no process has open. Each command has its own file.
package cli
