package logout

import (
	"testing"
	"time"
)

// FuzzRetryAfter: a header is either a valid time or ignored. No number of seconds exceeds the retry window.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"", "0", "120", "-1", "1.5", " 7 ", "99999999999999999999", "0000", "Fri, 31 Dec 1999 23:59:59 GMT",
		"Friday, 31-Dec-99 23:59:59 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT", "31 Dec", "\u0661", "120, 130", "+5", "0x10", "1e9",
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		at, ok := parseRetryAfter(value, now)
		switch {
		case !ok && !at.IsZero():
			t.Fatalf("%q is not a valid time, but %v", value, at)
		case ok && value != "" && value[0] >= '0' && value[0] <= '9' &&
			(at.Before(now) || at.After(now.Add(RetryWindow))):
			t.Fatalf("%q asks to wait until %v, want at most %v", value, at, RetryWindow)
		}
	})
}
