package admin

// Formatting of times, numbers and devices.

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/internal/agent"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// pageFuncs are the functions available to templates.
var pageFuncs = template.FuncMap{
	"clip":   clip,
	"plain":  plain,
	"plural": plural,
	"number": number,
	"label":  label,
	"lower":  strings.ToLower,
	"stamp":  stampOf,
	"device": device,
	"beyond": func(most int, clients []ticketstore.ClientUse) int { return max(len(clients)-most, 0) },
}

// clip truncates a text for places where it must be short.
func clip(most int, text string) string {
	kept := 0
	for at := range text {
		if kept == most {
			return text[:at] + "…"
		}
		kept++
	}
	return text
}

// number formats n with thousands separators.
func number(n int) string {
	digits := strconv.Itoa(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// plural formats a count with its noun: "1 session", "2,000 sessions".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// labels are the display names of protocol values.
var labels = map[string]string{
	"authorization_code": "Authorization code", "openid_request": "OpenID request",
	"pkce_request":  "PKCE request",
	"refresh_token": "Refresh token", "reference_token": "Access token", "user_consent": "Consent",
	"pushed_authorization_request": "Pushed authorization request",
	"pending":                      "Pending", "delivered": "Delivered", "refused": "Refused",
	"given_up":    "Given up",
	"user_logout": "User signed out", "session_expiration": "Session expired",
	"terminated":       "Ended by an operator",
	"session_replaced": "Replaced by another sign-in",
}

// label returns the display name of a value, or the value itself if it has none.
func label(name any) string {
	text := fmt.Sprint(name)
	if known, ok := labels[text]; ok {
		return known
	}
	return text
}

// stamp is a time on a page.
type stamp struct {
	// Machine is the time in RFC 3339, or "" for the zero time.
	Machine string
	// Text has seconds, Short minutes.
	Text, Short string
	// Away is the distance from now.
	Away string
}

func stampOf(t, now time.Time) stamp {
	if t.IsZero() {
		return stamp{}
	}
	t = t.UTC()
	return stamp{
		Machine: t.Format(time.RFC3339), Text: t.Format("2 Jan 2006, 15:04:05"),
		Short: t.Format("2 Jan 2006, 15:04"), Away: away(t.Sub(now)),
	}
}

// away formats the distance of a time from now in its largest unit, rounded to the nearest for the future and
// down for the past.
func away(distance time.Duration) string {
	ahead := distance > 0
	distance = distance.Abs()
	for _, unit := range []time.Duration{time.Minute, time.Hour} {
		if ahead && distance > unit {
			distance = distance.Round(unit)
		}
	}
	var text string
	switch {
	case distance < 10*time.Second && !ahead:
		return "just now"
	case distance < time.Minute:
		text = fmt.Sprintf("%d s", distance/time.Second)
	case distance < time.Hour:
		text = fmt.Sprintf("%d min", distance/time.Minute)
	case distance < 48*time.Hour:
		text = fmt.Sprintf("%d h", distance/time.Hour)
	default:
		text = number(int(distance/(24*time.Hour))) + " days"
	}
	if ahead {
		return "in " + text
	}
	return text + " ago"
}

// device returns the browser and system of a user agent, or the beginning of an unknown one.
func device(userAgent string) string {
	name, version, system := agent.Parse(userAgent)
	switch {
	case userAgent == "":
		return "Unknown device"
	case name == "":
		return clip(60, userAgent)
	}
	if version != "" {
		name += " " + version
	}
	if system != "" {
		name += " on " + system
	}
	return name
}
