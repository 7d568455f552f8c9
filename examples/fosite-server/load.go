package main

// Files of clients and users: JSON arrays, with every problem named by its place.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// record is one object of a JSON array, with where it was found.
type record struct {
	index  int
	fields map[string]json.RawMessage
}

// problems collects everything that is wrong with a file, so that one run names it all.
type problems struct {
	file  string
	list  string // what the array holds: "clients"
	found []error
}

// addf notes a problem of one field. Values are left out where they may be secrets.
func (p *problems) addf(r record, field, problem string, args ...any) {
	p.found = append(p.found, fmt.Errorf("%s: %s[%d].%s: %s", p.file, p.list, r.index, field,
		fmt.Sprintf(problem, args...)))
}

func (p *problems) err() error { return errors.Join(p.found...) }

// readRecords reads a JSON array of objects. An error means that the file as a whole cannot be read.
func readRecords(path, list string) ([]record, *problems, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	var objects []map[string]json.RawMessage
	err = json.Unmarshal(raw, &objects)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		line := 1 + bytes.Count(raw[:syntax.Offset], []byte("\n"))
		return nil, nil, fmt.Errorf("%s:%d: is not valid JSON: %w", path, line, err)
	case err != nil:
		return nil, nil, fmt.Errorf("%s: is not a JSON array of %s, each an object", path, list)
	}
	records := make([]record, len(objects))
	for i, fields := range objects {
		records[i] = record{i, fields}
	}
	return records, &problems{file: path, list: list}, nil
}

// field decodes one field of a record into target, noting a value of the wrong type, and takes it out of the
// record: what remains in the end is unknown. A missing or null field leaves target as it is.
func field[T any](p *problems, r record, name, want string, target *T) {
	value, ok := r.fields[name]
	delete(r.fields, name)
	if !ok || string(value) == "null" {
		return
	}
	if err := json.Unmarshal(value, target); err != nil {
		p.addf(r, name, "is not %s", want)
	}
}

func textField(p *problems, r record, name string) string {
	var text string
	field(p, r, name, "a string", &text)
	return text
}

func listField(p *problems, r record, name string) []string {
	var list []string
	field(p, r, name, "an array of strings", &list)
	return list
}

func flagField(p *problems, r record, name string) bool {
	var flag bool
	field(p, r, name, "true or false", &flag)
	return flag
}

// unique notes every value that an earlier record has too.
type unique map[string]int

func (u unique) check(p *problems, r record, name, value string) {
	if value == "" {
		return
	}
	if first, taken := u[value]; taken {
		p.addf(r, name, "is the same as that of %s[%d]", p.list, first)
		return
	}
	u[value] = r.index
}

// unused names the fields that were kept without effect, sorted: a misspelt name is among them.
func unused(extra map[string]json.RawMessage) []string { return slices.Sorted(maps.Keys(extra)) }
