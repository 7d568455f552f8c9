package rules

// Rule 7: the queue of notifications: settlements and retries.

import (
	"fmt"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// NotificationID returns an id that sorts by the time of enqueueing. The number distinguishes ids of the same
// time.
func NotificationID(now time.Time, number uint32) string {
	return fmt.Sprintf("%016x%08x", uint64(records.Nanos(now)), number)
}

// Claim claims a notification until the lease expires, under a number that is higher than all before (rule
// 7). The retry window of one that was never claimed within it begins again: its job was resumed a day after
// it began, or no host ran.
func Claim(n *records.Notification, lease time.Time) {
	if n.GetClaim() == 0 && n.GetGiveUpAt() != 0 && n.GetGiveUpAt() <= records.Nanos(lease) {
		n.GiveUpAt = records.Nanos(lease.Add(logout.RetryWindow))
	}
	n.Claim++
	n.Claimed, n.Due = true, records.Nanos(lease)
}

// Release releases the claim on a notification, also on one imported from another store: no pending delivery
// may settle it. The number is kept, so that a late outcome changes nothing.
func Release(n *records.Notification) {
	n.Claimed, n.Due = false, 0
	if n.GetState() == string(logout.Pending) {
		n.Due = n.GetNextAttempt()
	}
}

// Settle applies the outcome of a delivery with that claim number to its notification (rule 7): delivered a
// second time later, retried, or settled and kept for a while. For an outdated claim it returns ErrOutdated
// and changes nothing.
func Settle(n *records.Notification, claim uint64, outcome *logout.Outcome, now time.Time) error {
	if !n.GetClaimed() || n.GetClaim() != claim {
		return logout.ErrOutdated
	}
	n.Attempts++
	n.LastAttempt, n.LastError = records.Nanos(now), Cut(outcome.LastError)
	switch {
	case outcome.State == logout.Delivered && n.Again != 0:
		n.NextAttempt, n.Again = max(n.Again, records.Nanos(now)), 0
	case outcome.State == logout.Pending:
		n.NextAttempt = records.Nanos(outcome.NextAttempt)
	default:
		n.State, n.NextAttempt, n.Again = string(outcome.State), 0, 0
		n.PurgeAt = records.Nanos(now.Add(logout.NotificationRetention))
	}
	Release(n)
	return nil
}

// SendAgain makes a notification due now, with a new retry window, whatever its state. A claim on it becomes
// outdated.
func SendAgain(n *records.Notification, now time.Time) {
	if n.State == string(logout.Pending) && n.Attempts > 0 && n.LastError == "" &&
		n.NextAttempt > records.Nanos(now) {
		n.Again = n.NextAttempt // delivered once already: the second delivery keeps its time
	}
	n.State, n.Attempts, n.LastError, n.PurgeAt = string(logout.Pending), 0, "", 0
	n.NextAttempt, n.GiveUpAt = records.Nanos(now), records.Nanos(now.Add(logout.RetryWindow))
	Release(n)
}

// Retries reports whether a retry by a filter resends a notification: not if it was enqueued after now, is
// being delivered, or is due anyway.
func Retries(f *logout.NotificationFilter, n *records.Notification, now time.Time) bool {
	underWay := n.GetState() == string(logout.Pending) && (n.GetClaimed() ||
		n.GetNextAttempt() <= records.Nanos(now))
	return SelectedNotification(f, n) && n.GetQueued() <= records.Nanos(now) && !underWay
}

// SelectedNotification reports whether a filter selects a notification.
func SelectedNotification(f *logout.NotificationFilter, n *records.Notification) bool {
	return (f.State == "" || n.GetState() == string(f.State)) && (f.ClientID == "" ||
		n.GetClientId() == f.ClientID) &&
		(f.SessionID == "" || n.GetSessionId() == f.SessionID)
}

// Cut truncates the error text of a delivery or a job.
func Cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), logout.MaxLastError)], "")
}
