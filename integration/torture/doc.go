// Package torture runs many users and clients against a host whose processes are killed, stopped and starved
// of disk space at random points, while relying parties answer slowly, wrongly or never. It checks the
// recorded history of all calls and notifications against the rules: no acknowledged write is lost, nothing
// that ended becomes live again, and no call waits forever.
package torture
