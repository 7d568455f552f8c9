// Package logline carries log records from a plugin to its host over the plugin's standard error: one JSON
// object a line, in the format of hashicorp/go-hclog, so that any go-plugin host can read them. It has its
// own parser, because go-plugin's panics on a line like {"@message":5}.
package logline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
)

const (
	timeKey    = "@timestamp"
	levelKey   = "@level"
	messageKey = "@message"
	timeLayout = "2006-01-02T15:04:05.000000Z07:00"

	// maxLine bounds a line in bytes; the rest of a longer line is dropped. maxAttributes bounds the
	// attributes of a line.
	maxLine       = 64 << 10
	maxAttributes = 64
)

// NewHandler returns a handler that writes such lines.
func NewHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: rename})
}

func rename(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String(timeKey, a.Value.Time().Format(timeLayout))
	case slog.LevelKey:
		return slog.String(levelKey, LevelName(a.Value.Any().(slog.Level)))
	case slog.MessageKey:
		return slog.Attr{Key: messageKey, Value: a.Value}
	}
	return a
}

// LevelName returns debug, info, warn or error.
func LevelName(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "debug"
	case level < slog.LevelWarn:
		return "info"
	case level < slog.LevelError:
		return "warn"
	}
	return "error"
}

// ParseLevel returns the level with a name, and whether the name is valid. hclog's trace and off become the
// nearest levels of slog.
func ParseLevel(name string) (slog.Level, bool) {
	switch strings.ToLower(name) {
	case "trace", "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error", "off":
		return slog.LevelError, true
	}
	return slog.LevelInfo, false
}

// Parser turns lines into records. It keeps the state of one stream: lines that follow a Go panic are errors.
type Parser struct{ panicked bool }

// Parse returns the record of a line. A line that is not a JSON object becomes a message.
func (p *Parser) Parse(line []byte, now time.Time) slog.Record {
	var members map[string]any
	if json.Unmarshal(line, &members) != nil || members == nil {
		return p.text(strings.ToValidUTF8(string(line), "?"), now)
	}
	level, known := ParseLevel(text(members[levelKey]))
	when, err := time.Parse(timeLayout, text(members[timeKey]))
	if err != nil {
		when = now
	}
	record := slog.NewRecord(when, level, text(members[messageKey]), 0)
	for _, key := range attributes(members, known) {
		record.AddAttrs(slog.Any(key, members[key]))
	}
	return record
}

func attributes(members map[string]any, levelKnown bool) []string {
	keys := make([]string, 0, len(members))
	for key := range members {
		if key != timeKey && key != messageKey && (key != levelKey || !levelKnown) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), maxAttributes)]
}

// text formats a member of any type.
func text(member any) string {
	switch m := member.(type) {
	case nil:
		return ""
	case string:
		return m
	}
	return fmt.Sprint(member)
}

func (p *Parser) text(line string, now time.Time) slog.Record {
	level := slog.LevelInfo
	if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
		p.panicked = true
	}
	if prefix, rest, found := strings.Cut(line, "] "); found && strings.HasPrefix(prefix, "[") {
		if named, known := ParseLevel(prefix[1:]); known {
			level, line = named, rest
		}
	}
	if p.panicked {
		level = slog.LevelError
	}
	return slog.NewRecord(now, level, line, 0)
}

// Copy logs each line of r until EOF. seen, if not nil, is called with each record first.
func Copy(r io.Reader, logger *slog.Logger, seen func(record slog.Record)) {
	reader := bufio.NewReaderSize(r, maxLine)
	var parser Parser
	for {
		line, err := reader.ReadSlice('\n')
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			record := parser.Parse(line, time.Now())
			if seen != nil {
				seen(record)
			}
			log(logger, record)
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = reader.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

// Text formats a record as one line.
func Text(record slog.Record) string {
	line := record.Message
	record.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	return line
}

func log(logger *slog.Logger, record slog.Record) {
	ctx := context.Background()
	if logger.Enabled(ctx, record.Level) {
		_ = logger.Handler().Handle(ctx, record)
	}
}

// Writer logs what is written to it, line by line. Each write must consist of whole lines; a split line
// becomes two records.
type Writer struct{ Logger *slog.Logger }

// Write never fails.
func (w Writer) Write(p []byte) (int, error) {
	var parser Parser
	for line := range bytes.Lines(p) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			log(w.Logger, parser.Parse(line[:min(len(line), maxLine)], time.Now()))
		}
	}
	return len(p), nil
}
