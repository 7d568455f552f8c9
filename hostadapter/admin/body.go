package admin

// JSON request bodies. Unknown and repeated fields are refused.

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxBody bounds a request body, in bytes.
const maxBody = 64 << 10

func badRequest(detail string) error { return &problem{status: http.StatusBadRequest, detail: detail} }

// readBody reads a JSON object into fields, by name. It refuses, by name, unknown fields, repeated fields,
// nulls and values of the wrong type. It also refuses empty strings, except an empty reason: a script with an
// empty variable must not end more than intended.
func readBody(w http.ResponseWriter, r *http.Request, fields map[string]any) error {
	raw, err := readJSON(w, r)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return badRequest("The body is not a JSON object.")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return badRequest("The body is not valid JSON.")
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return badRequest("The body is not valid JSON.")
		}
		target, known := fields[name]
		switch {
		case !known:
			return unknownName(name, "is not a field of this request")
		case seen[name]:
			return ticketstore.Invalidf(name, "occurs more than once")
		case string(value) == "null":
			return ticketstore.Invalidf(name, "is null: leave it out instead")
		}
		seen[name] = true
		if !isUnicode(value) {
			return ticketstore.Invalidf(name,
				"has text that is no Unicode: invalid UTF-8, or half of a surrogate pair")
		}
		if string(value) == `""` && name != "reason" {
			return ticketstore.Invalidf(name, "is empty: leave it out instead")
		}
		if err := json.Unmarshal(value, target); err != nil || bytes.Contains(value, []byte("null")) &&
			hasNull(value) {
			return ticketstore.Invalidf(name, "is not of the right type")
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return badRequest("The body is not valid JSON.")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("The body has data after its JSON object.")
	}
	return nil
}

// isUnicode reports whether the strings in a JSON value are valid Unicode. The decoder would replace invalid
// parts by U+FFFD, and the lookup would use a different name than the one sent.
func isUnicode(value json.RawMessage) bool {
	if !utf8.Valid(value) {
		return false
	}
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			continue
		}
		first := surrogate(value[i:])
		if first != 0 {
			if utf16.DecodeRune(first, surrogate(value[i+6:])) == unicode.ReplacementChar {
				return false
			}
			i += 6
		}
		i++ // skip the escaped character
	}
	return true
}

// surrogate returns the surrogate escaped at the start of text, or 0.
func surrogate(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil || !utf16.IsSurrogate(rune(n)) {
		return 0
	}
	return rune(n)
}

// hasNull reports whether a list contains a null, which would be decoded as an empty string.
func hasNull(value json.RawMessage) bool {
	var list []any
	return json.Unmarshal(value, &list) == nil && slices.Contains(list, nil)
}

func readJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" || r.Header.Get("Content-Encoding") != "" {
		return nil, &problem{
			status: http.StatusUnsupportedMediaType, detail: "The body must be application/json.",
		}
	}
	return readLimited(w, r)
}

func readLimited(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &problem{
			status: http.StatusRequestEntityTooLarge, detail: "The body is larger than 64 KiB.",
		}
	case err != nil:
		return nil, badRequest("The body cannot be read.")
	}
	return raw, nil
}

// readNoBody refuses a request body that would be ignored. An empty JSON object is accepted from clients that
// always send one.
func readNoBody(w http.ResponseWriter, r *http.Request) error {
	raw, err := readLimited(w, r)
	if err != nil {
		return err
	}
	if raw = bytes.TrimSpace(raw); len(raw) > 0 && string(raw) != "{}" {
		return badRequest("This request takes no body.")
	}
	return nil
}
