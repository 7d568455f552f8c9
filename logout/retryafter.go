package logout

// The delay before a failed delivery is retried: Retry-After and backoff (rule 7).

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// parseRetryAfter returns the time that a Retry-After header names, as seconds or as a date (RFC 9110,
// section 10.2.3). Any other value is ignored.
func parseRetryAfter(value string, now time.Time) (time.Time, bool) {
	value = strings.TrimSpace(value)
	if value == "" {
		return time.Time{}, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(RetryWindow/time.Second) {
			seconds = int64(RetryWindow / time.Second)
		}
		return now.Add(time.Duration(seconds) * time.Second), true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return time.Time{}, false
	}
	return date, true
}

// backoff returns the delay after the given number of failed attempts. It doubles from base to most, with 25
// % jitter, so that deliveries that failed together are not retried together.
func backoff(base, most time.Duration, attempts int) time.Duration {
	wait := most
	// 62 doublings overflow any base.
	if attempts < 32 && base<<attempts < most && base<<attempts > 0 {
		wait = base << attempts
	}
	//nolint:gosec // jitter needs no secrecy
	return time.Duration(float64(wait) * (0.75 + rand.Float64()/2))
}
