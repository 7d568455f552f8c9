// Package program is what the programs of all engines share: how they read their settings, their version,
// and where they write.
package program

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"

	"github.com/fosite-sessions/sessions/ticketstore"
)

var (
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
	errTrailing  = errors.New("settings: more than one JSON value")
)

// ParseSettings reads an engine's settings from JSON, unchecked. A field that the engine does not have, and a
// value of the wrong kind, are *ticketstore.FieldError naming the field.
func ParseSettings[S any](engine string, raw []byte) (settings S, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		var mismatch *json.UnmarshalTypeError
		if errors.As(err, &mismatch) && mismatch.Field != "" {
			return settings, ticketstore.Invalidf(mismatch.Field, "is a %s where a %s is wanted",
				mismatch.Value, mismatch.Type)
		}
		if field := unknownField.FindStringSubmatch(err.Error()); field != nil {
			return settings, ticketstore.Invalidf(field[1], "is not a setting of the %s backend", engine)
		}
		return settings, fmt.Errorf("settings are not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return settings, errTrailing
	}
	return settings, nil
}

// Terminal reports whether a file is a terminal.
func Terminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Version is the version of the build: as the linker was told, or that of the module.
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
