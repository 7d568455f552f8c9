package logline_test

// Tests of log lines, also against go-hclog.

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/internal/logline"
)

func TestLinesMatchHclog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := slog.New(logline.NewHandler(&out, slog.LevelDebug))
	logger.With("backend", "badger").WarnContext(t.Context(), "slow", "took_ms", 12)
	var line struct {
		Level   string `json:"@level"`
		Message string `json:"@message"`
		Time    string `json:"@timestamp"`
		Backend string `json:"backend"`
		Took    int    `json:"took_ms"`
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if line.Level != "warn" || line.Message != "slow" || line.Backend != "badger" || line.Took != 12 {
		t.Errorf("got %+v", line)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z07:00", line.Time); err != nil {
		t.Errorf("timestamp: %v", err)
	}
}

func TestParseLines(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct{ line, want string }{
		"whole": {
			`{"@level":"error","@message":"m","@timestamp":"2026-04-01T00:00:00.000001Z","b":1,"a":"x"}`,
			`ERROR m a=x b=1`,
		},
		"number for text": {`{"@message":5}`, `INFO 5`},
		"all wrong": {
			`{"@level":[],"@message":{"a":null},"@timestamp":false}`, `INFO map[a:<nil>] @level=[]`,
		},
		"empty object":     {`{}`, `INFO `},
		"null":             {`null`, `INFO null`},
		"array":            {`[1]`, `INFO [1]`},
		"text":             {`hello`, `INFO hello`},
		"text with level":  {`[WARN] hello`, `WARN hello`},
		"text in brackets": {`[x] hello`, `INFO [x] hello`},
		"broken":           {`{"@message":"a`, `INFO {"@message":"a`},
		"not UTF-8":        {"a\xffb", `INFO a?b`},
		"panic":            {"panic: boom", `ERROR panic: boom`},
	} {
		var parser logline.Parser
		record := parser.Parse([]byte(test.line), now)
		got := record.Level.String() + " " + logline.Text(record)
		if got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var seen int
	input := "first\r\n\n" + strings.Repeat("x", 200<<10) + "\npanic: boom\n\ngoroutine 1 [running]:\nlast"
	logline.Copy(strings.NewReader(input), slog.New(slog.NewTextHandler(&out, nil)),
		func(slog.Record) { seen++ })
	if lines := strings.Count(out.String(), "\n"); lines != 5 || seen != 5 {
		t.Errorf("got %d records and %d lines seen, want 5: the long line is cut, not split", lines, seen)
	}
	if errors := strings.Count(out.String(), "level=ERROR"); errors != 3 {
		t.Errorf("%d errors, want a panic and the 2 lines after it", errors)
	}
	if out.Len() > 70<<10 {
		t.Errorf("a line of 200 KiB made a record of %d bytes", out.Len())
	}
}

// FuzzCopy: for any output of a plugin, the host's log gets one whole line for each of its lines, in the
// host's form.
func FuzzCopy(f *testing.F) {
	for _, seed := range []string{
		`{"@message":5}`,
		`{"@level":"error","@message":"m","@timestamp":"2026-04-01T00:00:00.000001Z","a":{"b":[1,null]}}`,
		"panic: x\n\ta",
		"[WARN] x\r\n[ERROR", "\x00\xff\n\xf0", `{"@message":"a\u2028\ud800"}`, `{"":""}`,
		`{"time":1,"level":2,"msg":3}`, "null\n[]\n\"x\"\n1e999",
		`{"@message":{"@message":{"@message":[[[[]]]]}},"@level":{}}`, strings.Repeat("x", 70<<10),
		strings.Repeat("[", 20000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, written []byte) {
		var out bytes.Buffer
		var seen int
		logger := slog.New(slog.NewJSONHandler(&out, nil))
		logline.Copy(bytes.NewReader(written), logger, func(r slog.Record) { seen++; _ = logline.Text(r) })
		if seen > bytes.Count(written, []byte("\n"))+1 {
			t.Fatalf("%d records of %d lines", seen, bytes.Count(written, []byte("\n"))+1)
		}
		for line := range bytes.Lines(out.Bytes()) {
			if !json.Valid(line) {
				t.Fatalf("the host's log has an incomplete line: %q", line)
			}
		}
		if _, err := (logline.Writer{Logger: logger}).Write(written); err != nil {
			t.Fatal(err)
		}
	})
}
