package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The Go code of README is that between "// drop-in" in this server, and then that of other wirings in the
// integration tests.
func TestReadmeMatchesTheServer(t *testing.T) {
	t.Parallel()
	var got []string
	blocks := regexp.MustCompile("(?s)```go\n(.*?)\n```")
	for _, block := range blocks.FindAllStringSubmatch(read(t, "../../README.md"), -1) {
		got = append(got, block[1])
	}
	var want []string
	for _, file := range []string{
		"main.go", "../../integration/wirings_mux_test.go", "../../integration/wirings_host_test.go",
	} {
		want = append(want, dropIns(t, file)...)
	}
	if len(want) != 4 {
		t.Fatalf("%d parts between // drop-in, want 4", len(want))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("README's code differs from what runs (-runs +README):\n%s", diff)
	}
}

// dropIns returns the code between each two lines "// drop-in".
func dropIns(t *testing.T, file string) (parts []string) {
	t.Helper()
	for i, part := range regexp.MustCompile("(?m)^\t*// drop-in\n").Split(read(t, file), -1) {
		if i%2 == 1 {
			parts = append(parts, dedented(part))
		}
	}
	return parts
}

// Sessions take at most 30 lines of Go in a server with a login form: the lines between "// drop-in" and the
// field sm. Not counted are blank lines, comments, lines that a server without sessions has too, imports,
// and the authorization of operators.
func TestDropInIsShort(t *testing.T) {
	t.Parallel()
	without := []string{
		"func (s *server) serve(ctx context.Context) error {", "return server.ListenAndServe()", "}",
		"user, ok := s.loginForm(w, r)", "if !ok {", "return", "}",
	}
	lines := 1 // sm *fositestore.Sessions
	for _, part := range dropIns(t, "main.go") {
		for line := range strings.Lines(part) {
			line = strings.TrimSpace(line)
			if i := slices.Index(without, line); i >= 0 {
				without = slices.Delete(without, i, i+1)
			} else if line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	if len(without) > 0 {
		t.Fatalf("the server lacks the lines %q, which it has without sessions", without)
	}
	if lines > 30 {
		t.Errorf("sessions take %d lines of a server with a login form, want at most 30", lines)
	}
	t.Logf("%d lines", lines)
}

// README takes five minutes to read: reference documentation is elsewhere.
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

// dedented removes the tabs of the first line from every line.
func dedented(text string) string {
	indent := text[:len(text)-len(strings.TrimLeft(text, "\t"))]
	lines := strings.Split(strings.Trim(text, "\n\t"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], indent)
	}
	return strings.Join(lines, "\n")
}
