// Package cli is what the sessions-badger binary does when somebody starts it, and not a server: it checks,
// describes, backs up, restores and migrates a store that no process has open.
package cli
