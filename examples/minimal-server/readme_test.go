package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// README's Go is what compiles: the lines between "// drop-in" of this server, then those of the example of
// fositestore, which has a router of gorilla/mux.
func TestReadmeShowsWhatCompiles(t *testing.T) {
	t.Parallel()
	var got []string
	blocks := regexp.MustCompile("(?s)```go\n(.*?)\n```")
	for _, block := range blocks.FindAllStringSubmatch(read(t, "../../README.md"), -1) {
		got = append(got, block[1])
	}
	var want []string
	for _, file := range []string{"main.go", "../../hostadapter/fositestore/example_test.go"} {
		for i, part := range regexp.MustCompile("(?m)^\t*// drop-in\n").Split(read(t, file), -1) {
			if i%2 == 1 {
				want = append(want, dedented(part))
			}
		}
	}
	if len(want) != 4 {
		t.Fatalf("%d parts between // drop-in, want 4", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("README's code differs from what compiles (-compiles +README):\n%s", diff)
	}
}

// README is read in five minutes: what is looked up stands elsewhere.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
	if words := len(strings.Fields(read(t, "../../README.md"))); words >= 1200 {
		t.Errorf("README has %d words, want fewer than 1,200", words)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// dedented takes the first line's tabs from every line.
func dedented(text string) string {
	indent := text[:len(text)-len(strings.TrimLeft(text, "\t"))]
	lines := strings.Split(strings.Trim(text, "\n\t"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], indent)
	}
	return strings.Join(lines, "\n")
}
