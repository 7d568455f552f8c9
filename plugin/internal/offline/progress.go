package offline

// Progress on a terminal, and readable numbers.

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// progressPause is the minimum interval between two progress lines.
const progressPause = 200 * time.Millisecond

// progress shows progress on a terminal, in one line that it overwrites.
type progress struct {
	w     io.Writer // nil without a terminal
	now   func() time.Time
	doing string
	began time.Time
	told  time.Time
	width int
}

func (c *call) progress(doing string) *progress {
	p := &progress{now: c.Now, doing: doing, began: c.Now()}
	if c.Terminal {
		p.w = c.Stderr
	}
	return p
}

// report shows that done of about total rows are processed.
func (p *progress) report(done, total int64) {
	now := p.now()
	if p.w == nil || now.Sub(p.told) < progressPause {
		return
	}
	p.told = now
	line := fmt.Sprintf("%s: %s of %s", p.doing, Grouped(done), Grouped(total))
	if seconds := now.Sub(p.began).Seconds(); seconds > 0 && done > 0 {
		rate := float64(done) / seconds
		left := time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
		line += fmt.Sprintf(", %s/s, %s left", Grouped(int64(rate)), left)
	}
	p.show(line)
}

func (p *progress) show(line string) {
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// end clears the line.
func (p *progress) end() {
	if p.width > 0 {
		p.show("")
		fmt.Fprint(p.w, "\r")
	}
}

// took returns the elapsed time, rounded.
func (p *progress) took() time.Duration { return p.now().Sub(p.began).Round(time.Millisecond) }

// Grouped formats a number with thousands separators.
func Grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Size formats a number of bytes in the largest unit of which there is at least one.
func Size(bytes int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, i := float64(bytes), 0
	for ; value >= 1024 && i < len(units)-1; i++ {
		value /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d %s", bytes, units[0])
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
