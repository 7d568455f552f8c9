package rules

// Rule 7: the queue of notifications: claims, settlements, retries.

import (
	"fmt"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// NotificationID returns an id that sorts by the moment of queueing. The number distinguishes those of one
// moment.
func NotificationID(now time.Time, number uint32) string {
	return fmt.Sprintf("%016x%08x", uint64(records.Nanos(now)), number)
}

// Claim hands out a notification until the lease has passed, under a number that is higher than any before
// (rule 7).
func Claim(n *records.Notification, lease time.Time) {
	n.Claim++
	n.Claimed, n.Due = true, records.Nanos(lease)
}

// Release forgets the claim on a notification, also because it has come from another store: no delivery is
// to deliver it. The number stays, so that a late answer changes nothing.
func Release(n *records.Notification) {
	n.Claimed, n.Due = false, 0
	if n.GetState() == string(logout.Pending) {
		n.Due = n.GetNextAttempt()
	}
}

// Settle applies the outcome of a delivery, claimed under that number, to its notification (rule 7): reported
// a second time later, tried again, or settled and kept for a while. An outdated claim is ErrOutdated and
// changes nothing.
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

// SendAgain makes a notification due now, with a new retry window, whatever its state. A claim on it is
// outdated.
func SendAgain(n *records.Notification, now time.Time) {
	if n.State == string(logout.Pending) && n.Attempts > 0 && n.LastError == "" &&
		n.NextAttempt > records.Nanos(now) {
		n.Again = n.NextAttempt // reported once already: the second time stays where it was
	}
	n.State, n.Attempts, n.LastError, n.PurgeAt = string(logout.Pending), 0, "", 0
	n.NextAttempt, n.GiveUpAt = records.Nanos(now), records.Nanos(now.Add(logout.RetryWindow))
	Release(n)
}

// Retries reports whether a retry by a filter sends a notification again: not one that was queued after now,
// is being delivered, or will be without being asked for.
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

// Cut bounds what is kept of why a delivery, or a job, failed.
func Cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), logout.MaxLastError)], "")
}
