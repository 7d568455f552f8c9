// Package torture lets many users and clients work on a host whose processes are killed, stopped and starved
// of disk at random points, while relying parties answer slowly, wrongly or never, and holds the recorded
// history of all notifications against the rules: nothing acknowledged is lost, nothing that was ended lives
// again, nobody waits forever.
package torture
