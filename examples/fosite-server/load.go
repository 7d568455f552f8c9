package main

// Files of clients and users: JSON arrays. Errors give the line of every problem.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// maxFile bounds files of clients and users, in bytes.
const maxFile = 16 << 20

// record is an object of a JSON array, with its position.
type record struct {
	index  int
	line   int
	fields map[string]json.RawMessage
}

// problems collects all errors of a file, so that one run reports them all.
type problems struct {
	file  string
	list  string // what the array contains: "clients"
	found []error
}

// addf adds a problem of a field, or of the record if field is empty. Values that may be secrets are left
// out.
func (p *problems) addf(r record, field, problem string, args ...any) {
	where := fmt.Sprintf("%s:%d: %s[%d]", p.file, r.line, p.list, r.index)
	if field != "" {
		where += "." + field
	}
	p.found = append(p.found, fmt.Errorf("%s: %s", where, fmt.Sprintf(problem, args...)))
}

func (p *problems) err() error { return errors.Join(p.found...) }

// readRecords reads a JSON array of objects. Unreadable objects are reported and skipped; an error means that
// the whole file is unreadable.
func readRecords(path, list string) ([]record, *problems, error) {
	raw, err := readBounded(path)
	if err != nil {
		return nil, nil, err
	}
	p := &problems{file: path, list: list}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil {
		return nil, nil, syntaxError(path, raw, decoder.InputOffset(), err)
	} else if token != json.Delim('[') {
		return nil, nil, fmt.Errorf("%s:1: is not a JSON array of %s", path, list)
	}
	var records []record
	for index := 0; decoder.More(); index++ {
		var element json.RawMessage
		if err := decoder.Decode(&element); err != nil {
			return nil, nil, syntaxError(path, raw, decoder.InputOffset(), err)
		}
		r := record{index: index, line: lineOf(raw, decoder.InputOffset()-int64(len(element)))}
		if r.fields, err = objectFields(element); err != nil {
			p.addf(r, "", "%v", err)
			continue
		}
		records = append(records, r)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, nil, syntaxError(path, raw, decoder.InputOffset(), err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		line := lineOf(raw, decoder.InputOffset())
		return nil, nil, fmt.Errorf("%s:%d: has more after the array", path, line)
	}
	return records, p, nil
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("%s: is larger than %d bytes", path, maxFile)
	}
	return bytes.TrimPrefix(raw, []byte("\ufeff")), nil
}

// objectFields decodes an object and refuses duplicate names: JSON does not define which of them counts.
func objectFields(element json.RawMessage) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(element))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("is not an object")
	}
	fields := map[string]json.RawMessage{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("names %q twice", name)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		fields[name] = value
	}
	return fields, nil
}

func syntaxError(path string, raw []byte, offset int64, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = max(offset, syntax.Offset-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, err = int64(len(raw)), errors.New("ends in the middle of the array")
	}
	return fmt.Errorf("%s:%d: is not valid JSON: %w", path, lineOf(raw, offset), err)
}

// lineOf returns the line, from 1, of an offset. White space before a value belongs to the preceding lines.
func lineOf(raw []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(raw)))
	return 1 + bytes.Count(raw[:offset], []byte("\n"))
}

// field decodes one field of a record into target, reporting a value of the wrong type, and deletes it from
// the record, so that unknown fields remain. A missing or null field leaves target unchanged.
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

// unique reports values that an earlier record also has.
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

// unused returns the names of ignored fields, sorted, because one of them may be misspelled.
func unused(extra map[string]json.RawMessage) []string { return slices.Sorted(maps.Keys(extra)) }
