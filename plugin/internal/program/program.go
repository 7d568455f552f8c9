// Package program has what the programs of all engines share: parsing of settings, version, detection of
// terminals, how long an opening waits.
package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

var errTrailing = errors.New("settings: more than one JSON value")

// ParseSettings decodes an engine's settings from JSON without validating them. Each unknown field, and each
// value of a wrong type, is a *ticketstore.FieldError naming the field.
func ParseSettings[S any](engine string, raw []byte) (settings S, err error) {
	var fields map[string]json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if err := decoder.Decode(&fields); err != nil {
		return settings, fmt.Errorf("settings are not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return settings, errTrailing
	}
	// One by one, because encoding/json returns only the first error.
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		errs = append(errs, parseField(engine, name, fields[name], &settings))
	}
	return settings, errors.Join(errs...)
}

func parseField(engine, name string, value json.RawMessage, settings any) error {
	field, err := json.Marshal(map[string]json.RawMessage{name: value})
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(field))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(settings)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch):
		return ticketstore.Invalidf(name, "is a JSON %s, where %s is wanted",
			mismatch.Value, kindOf(mismatch.Type))
	case strings.Contains(err.Error(), `unknown field "`):
		return ticketstore.Invalidf(name, "is not a setting of the %s backend", engine)
	}
	return ticketstore.Invalidf(name, "cannot be read: %v", err)
}

// kindOf names the type of a setting's values.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	}
	return "a " + t.Kind().String()
}

// Terminal reports whether a file is a terminal.
func Terminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Version returns the version of the build: the one set by the linker, or that of the module.
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// openAnswer is the part of an opening's time that is reserved for reporting why it failed, or a fifth of
// that time if that is less.
const openAnswer = time.Second

// OpenUntil returns until when an opening waits for what it lacks: shortly before the context's deadline, or
// for patience without one.
func OpenUntil(ctx context.Context, patience time.Duration) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Now().Add(patience)
	}
	return deadline.Add(-min(openAnswer, time.Until(deadline)/5))
}
