// Package rules holds the decisions that every store makes: which session and which grant is live, what survives an end, when a used token may be
// used again, how far a session slides, what a delivery's outcome does to its notification.
//
// Each is given records and a moment, and returns a verdict or changes the record that it was given. None reads or writes anything: an engine
// reads rows, asks, and writes rows. The rules themselves are in ARCHITECTURE.md.
package rules
