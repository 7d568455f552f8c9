package program

// Invalid settings, and how long an opening waits.

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

type settings struct {
	Path string `json:"path"`
	Sync *bool  `json:"sync,omitempty"`
	MiB  int    `json:"mib,omitempty"`
}

// All invalid settings are reported together, by field name and without values, which may be secrets.
func TestParseSettingsNamesEachField(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		json   string
		fields []string
		says   string
	}{
		"right":   {json: `{"path": "x", "sync": false, "mib": 3}`},
		"empty":   {json: `{}`},
		"nothing": {json: `null`},
		"several": {
			`{"path": 1, "sync": "secret", "mib": "3", "pth": "secret"}`,
			[]string{"mib", "path", "pth", "sync"}, "",
		},
		"bool":       {`{"sync": "yes"}`, []string{"sync"}, "string, where true or false is wanted"},
		"number":     {`{"mib": "64"}`, []string{"mib"}, "string, where a whole number is wanted"},
		"fraction":   {`{"mib": 1.5}`, []string{"mib"}, "where a whole number is wanted"},
		"list":       {`{"path": []}`, []string{"path"}, "array, where a string is wanted"},
		"unknown":    {`{"pth": ""}`, []string{"pth"}, "is not a setting of the test backend"},
		"no object":  {`[]`, nil, "settings are not a JSON object"},
		"two values": {`{} {}`, nil, "more than one JSON value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseSettings[settings]("test", []byte(test.json))
			if (err != nil) != (len(test.fields) > 0 || test.says != "") {
				t.Fatalf("got %+v, error %v", got, err)
			}
			if err == nil {
				return
			}
			if fields := fieldsOf(err); strings.Join(fields, " ") != strings.Join(test.fields, " ") {
				t.Errorf("want an error for each of %v, got %v: %v", test.fields, fields, err)
			}
			if !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("want an error that says %q and no value, got %v", test.says, err)
			}
		})
	}
}

// fieldsOf returns the fields named by the errors.
func fieldsOf(err error) (fields []string) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			fields = append(fields, fieldsOf(err)...)
		}
		return fields
	}
	if field, ok := errors.AsType[*ticketstore.FieldError](err); ok {
		fields = append(fields, field.Field)
	}
	return fields
}

func TestOpenUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for deadline, want := range map[time.Duration]time.Duration{
			0: time.Minute, 30 * time.Second: 29 * time.Second, time.Second: 800 * time.Millisecond,
		} {
			ctx := t.Context()
			if deadline > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, deadline)
				defer cancel()
			}
			if got := time.Until(OpenUntil(ctx, time.Minute)); got != want {
				t.Errorf("with %v left: %v, want %v", deadline, got, want)
			}
		}
	})
}
