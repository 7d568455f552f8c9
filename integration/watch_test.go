package integration

// The watch for secrets in logs, and its test.

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// watched holds every secret of the run and the logs of all processes that it started.
var watched = &watch{}

func handedOut(kind, secret string) { watched.add(kind, secret) }

// shortestSecret is the minimum length: shorter texts occur by chance.
const shortestSecret = 10

type watch struct {
	mutex   sync.Mutex
	secrets map[string]string // to its kind
	logs    []*testenv.Log
}

// log returns a buffer whose text will be searched.
func (w *watch) log() *testenv.Log {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	b := &testenv.Log{}
	w.logs = append(w.logs, b)
	return b
}

func (w *watch) add(kind, secret string) {
	if secret == "" {
		return
	}
	if len(secret) < shortestSecret {
		panic(fmt.Sprintf("%s of %d bytes is too short to be searched for", kind, len(secret)))
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.secrets == nil {
		w.secrets = map[string]string{}
	}
	w.secrets[secret] = kind
}

func (w *watch) knows(kind string) bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return slices.Contains(slices.Collect(maps.Values(w.secrets)), kind)
}

// leaks returns the secrets found, described without repeating them. A run issues thousands of secrets: the
// logs are scanned once, and at each position the forms that end in its bytes are compared.
func (w *watch) leaks() (found []string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	index := map[[tail]byte][]form{}
	for secret, kind := range w.secrets {
		for _, f := range formsOf(kind, secret) {
			end := [tail]byte([]byte(f.text[len(f.text)-tail:]))
			index[end] = append(index[end], f)
		}
	}
	seen := map[string]bool{}
	for _, log := range w.logs {
		text := []byte(log.String())
		for end := tail; end <= len(text); end++ {
			for _, f := range index[[tail]byte(text[end-tail:end])] {
				if bytes.HasSuffix(text[:end], []byte(f.text)) && !seen[f.kind+f.how+f.text] {
					seen[f.kind+f.how+f.text] = true
					start := max(0, end-len(f.text)-120)
					found = append(found,
						fmt.Sprintf("%s, %s, after: %s", f.kind, f.how, text[start:end-len(f.text)]))
				}
			}
		}
	}
	return found
}

// tail is the number of bytes by which forms are indexed.
const tail = 8

// form is one encoding of a secret.
type form struct{ kind, how, text string }

// formsOf returns all encodings of a secret.
func formsOf(kind, secret string) []form {
	var forms []form
	add := func(how, text string) {
		known := slices.ContainsFunc(forms, func(f form) bool { return f.text == text })
		if len(text) >= shortestSecret && !known {
			forms = append(forms, form{kind, how, text})
		}
	}
	for part, text := range partsOf(secret) {
		add(part+"as it is", text)
		quoted := strconv.Quote(text)
		add(part+"quoted", quoted[1:len(quoted)-1])
		if marshalled, err := json.Marshal(text); err == nil {
			add(part+"as JSON", string(marshalled[1:len(marshalled)-1]))
		}
		add(part+"percent-encoded", url.QueryEscape(text))
		add(part+"percent-encoded as a path", url.PathEscape(text))
		raw := []byte(text)
		encodedForms(raw, func(how, text string) { add(part+how, text) })
		// If the text encodes bytes, the bytes may be written in other encodings.
		if decoded, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(decoded) >= 16 {
			add(part+"decoded", string(decoded))
			encodedForms(decoded, func(how, text string) { add(part+"decoded, "+how, text) })
		}
	}
	return forms
}

// encodedForms calls add with bytes in hex, in decimal, and in base64 at any offset of a longer text, as in
// Basic credentials.
func encodedForms(raw []byte, add func(how, text string)) {
	add("in hex", hex.EncodeToString(raw))
	add("in upper-case hex", strings.ToUpper(hex.EncodeToString(raw)))
	add("in decimals", strings.Trim(fmt.Sprintf("%d", raw), "[]"))
	for shift := range 3 {
		// The characters at either end also depend on the adjacent bytes.
		inner := raw[(3-shift)%3:]
		inner = inner[:len(inner)/3*3]
		add("in base64", base64.StdEncoding.EncodeToString(inner))
		add("in base64url", base64.URLEncoding.EncodeToString(inner))
	}
}

// partsOf returns a secret, and the parts of a token that are equivalent to it or reveal its contents. The
// header of a JWT is not secret.
func partsOf(secret string) map[string]string {
	parts := map[string]string{"": secret}
	for i, part := range strings.Split(secret, ".") {
		if strings.Contains(secret, ".") && len(part) >= 16 && (i > 0 || !strings.HasPrefix(part, "eyJ")) {
			parts[fmt.Sprintf("part %d ", i+1)] = part
		}
	}
	return parts
}

// The watch finds each kind of leak, and reports nothing for a log without secrets.
func TestWatchFindsLeaks(t *testing.T) {
	t.Parallel()
	const secret = "pass word & \"more\"/+?\u00e4\n"
	const opaque = "ory_at_K5wOf1hYQq3pXbT9zVnJc2LrD8sMgEaU6iR0tWyBxZk." +
		"Qe7HnVb2mZr9TtLx4WcJy1KsPd6GuAf8oRi3EwNqXhM"
	raw, err := base64.RawURLEncoding.DecodeString("Qe7HnVb2mZr9TtLx4WcJy1KsPd6GuAf8oRi3EwNqXhM")
	if err != nil {
		t.Fatal(err)
	}
	for name, leak := range map[string]string{
		"as it is":            secret,
		"in a quoted value":   fmt.Sprintf("msg=x value=%q", secret),
		"in JSON":             mustJSON(t, map[string]string{"a": secret}),
		"in a URL":            "/path?" + url.Values{"password": {secret}}.Encode(),
		"in a path":           "/path/" + url.PathEscape(secret),
		"in hex":              fmt.Sprintf("%x", secret),
		"in upper-case hex":   fmt.Sprintf("%X", secret),
		"as a slice of bytes": fmt.Sprintf("%d", []byte(secret)),
		"in base64":           base64.StdEncoding.EncodeToString([]byte(secret)),
		"in base64url":        base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"as credentials 0":    base64.StdEncoding.EncodeToString([]byte("abc" + secret + ":x")),
		"as credentials 1":    base64.StdEncoding.EncodeToString([]byte("abcd" + secret + ":x")),
		"as credentials 2":    base64.StdEncoding.EncodeToString([]byte("abcde" + secret + ":x")),
		"a token":             "Bearer " + opaque,
		"a token's signature": "signature=Qe7HnVb2mZr9TtLx4WcJy1KsPd6GuAf8oRi3EwNqXhM",
		"a signature's bytes": fmt.Sprintf("%x", raw),
		"at the log's end":    strings.Repeat("x", 5000) + opaque,
	} {
		w := &watch{}
		w.add("secret", secret)
		w.add("token", opaque)
		_, _ = w.log().Write([]byte("level=INFO msg=start\n"))
		log := w.log()
		_, _ = log.Write([]byte(leak[:len(leak)/2]))
		_, _ = log.Write([]byte(leak[len(leak)/2:]))
		found := w.leaks()
		if len(found) == 0 {
			t.Errorf("%s: nothing was found", name)
		}
		for _, text := range found {
			if strings.Contains(text, secret) || strings.Contains(text, opaque) {
				t.Errorf("%s: the report repeats the secret", name)
			}
		}
	}
	w := &watch{}
	w.add("secret", secret)
	w.add("token", opaque)
	w.add("ID token",
		"eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.eyJzdWIiOiJhbm4ifQAAAAAAA.c2lnbmF0dXJlc2lnbmF0dXJl")
	_, _ = w.log().Write([]byte("subject=ann header=eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9 pass word ory_at_ " +
		"Qe7HnVb2mZr9TtLx4Wc\n"))
	if found := w.leaks(); len(found) != 0 {
		t.Errorf("found in a log without secrets: %v", found)
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
