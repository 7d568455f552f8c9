package agent_test

import (
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter/internal/agent"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0": "Firefox 128 Linux",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
			"Version/17.5 Mobile/15E148 Safari/604.1": "Safari 17 iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 " +
			"Safari/537.36 Edg/126.0.0.0": "Edge 126 Windows",
		"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 " +
			"Mobile Safari/537.36": "Chrome 126 Android",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
			"Version/17.5 Safari/605.1.15": "Safari 17 macOS",
		"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) " +
			"Version/17.5 Mobile/15E148 Safari/604.1": "Safari 17 iPad",
		"curl/12345.0": "curl", "curl/8x.5": "curl", "<b>Firefox/128": "", "curl\u00e9/8.5": "",
		strings.Repeat("x", 41) + "/1.0": "",
		"curl/8.5.0":                     "curl 8", "": "", "\xff": "", "<script>alert(1)</script>": "",
		strings.Repeat("x", 10_000): "",
	} {
		browser, version, system := agent.Parse(given)
		if got := strings.Join(strings.Fields(browser+" "+version+" "+system), " "); got != want {
			t.Errorf("%.60q is %q, want %q", given, got, want)
		}
	}
}
