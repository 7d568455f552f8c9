package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)\n```")

// TestReadmeShowsTheExample keeps the README's drop-in code equal to the example that compiles: what stands there between the lines
// "// drop-in".
func TestReadmeShowsTheExample(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../../hostadapter/fositestore/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Drop it into your server\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for _, block := range goBlock.FindAllStringSubmatch(section, -1) {
		got = append(got, block[1])
	}
	var want []string
	for i, part := range strings.Split(string(example), "// drop-in\n") {
		if i%2 == 1 {
			want = append(want, dedented(part))
		}
	}
	if len(want) == 0 {
		t.Fatal(`the example has no lines between "// drop-in"`)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the README's code differs from the example (-example +README):\n%s", diff)
	}
}

// dedented takes the first line's tabs from every line.
func dedented(text string) string {
	indent := text[:len(text)-len(strings.TrimLeft(text, "\t"))]
	lines := strings.Split(strings.TrimRight(text, "\n\t"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], indent)
	}
	return strings.Join(lines, "\n")
}

func TestSessionsFileIsShort(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("sessions.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(content), "\n"); lines >= 100 {
		t.Errorf("sessions.go has %d lines, want fewer than 100: it is what readers copy", lines)
	}
}
