// Package agent extracts the browser and the operating system from a User-Agent header.
package agent

import (
	"strings"
	"unicode"

	"github.com/mileusna/useragent"
)

// maxAgent is how many bytes of a user agent are parsed: real ones are shorter.
const maxAgent = 512

// Parse returns the browser, its major version and the system of a user agent, such as "Firefox", "128" and
// "Linux". Each is empty if unknown or unreadable. Clients can send any text: the results contain only
// letters, digits and a few other characters, and no markup.
func Parse(userAgent string) (browser, version, system string) {
	parsed := useragent.Parse(strings.ToValidUTF8(userAgent[:min(len(userAgent), maxAgent)], ""))
	browser = strings.TrimPrefix(parsed.Name, "Headless ")
	if !isWord(browser) || (parsed.OS == "" && strings.ContainsAny(userAgent, "<>(){}")) {
		return "", "", ""
	}
	if major, _, _ := strings.Cut(parsed.Version, "."); len(major) <= 4 && isDigits(major) {
		version = major
	}
	switch {
	case parsed.OS == useragent.IOS && (parsed.Device == "iPad" || parsed.Device == "iPhone"):
		system = parsed.Device
	case isWord(parsed.OS):
		system = parsed.OS
	}
	return browser, version, system
}

// isWord reports whether a name is short and readable.
func isWord(name string) bool {
	return name != "" && len(name) <= 40 && !strings.ContainsFunc(name, func(r rune) bool {
		return r > unicode.MaxASCII ||
			(!unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ._-/+", r))
	})
}

func isDigits(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' }) < 0
}
