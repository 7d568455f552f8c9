package rules

import (
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// Settle applies the outcome of a delivery to its notification (rule 7): told a second time later, tried again, or settled and kept for a while.
func Settle(n *records.Notification, outcome *logout.Outcome, now time.Time) {
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
}

// SendAgain makes a notification due now, with a new retry window, whatever its state.
func SendAgain(n *records.Notification, now time.Time) {
	if n.State == string(logout.Pending) && n.Attempts > 0 && n.LastError == "" && n.NextAttempt > records.Nanos(now) {
		n.Again = n.NextAttempt // told once already: the second time stays where it was
	}
	n.State, n.Attempts, n.LastError, n.PurgeAt = string(logout.Pending), 0, "", 0
	n.NextAttempt, n.GiveUpAt = records.Nanos(now), records.Nanos(now.Add(logout.RetryWindow))
}

// Cut bounds what is kept of why a delivery, or a job, failed.
func Cut(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), logout.MaxLastError)], "")
}
