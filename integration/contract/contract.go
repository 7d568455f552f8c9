// Package contract checks HTTP requests and responses against the OpenAPI document of the admin and account
// routes. Tests give their clients a Transport.
package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/paths"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Document is the parsed contract. It is safe for concurrent use.
type Document struct {
	model     *v3.Document
	validator validator.Validator

	mu   sync.Mutex
	seen map[Answer]int
}

// Answer is a status code of a documented operation.
type Answer struct {
	Method, Path string
	Status       string
}

// Load reads hostadapter/admin/openapi.json of this checkout.
func Load() (*Document, error) {
	_, here, _, _ := runtime.Caller(0)
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../hostadapter/admin/openapi.json"))
	if err != nil {
		return nil, err
	}
	parsed, err := libopenapi.NewDocument(raw)
	if err != nil {
		return nil, err
	}
	model, err := parsed.BuildV3Model()
	if err != nil {
		return nil, err
	}
	checker, failures := validator.NewValidator(parsed,
		config.WithStrictMode(), // undocumented fields are errors, although clients ignore them
		// These headers are about caching and security, and the same for all responses.
		config.WithStrictIgnoredHeadersExtra("Cache-Control", "X-Request-Id", "X-Content-Type-Options",
			"Vary", "Referrer-Policy", "X-Frame-Options", "Content-Security-Policy"),
		config.WithFormatAssertions(), config.WithRejectUndeclaredRequestBody(),
		config.WithURLEncodedBodyValidation(),
		config.WithoutSecurityValidation()) // the host chooses the authentication
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	return &Document{model: &model.Model, validator: checker, seen: map[Answer]int{}}, nil
}

// Valid returns an error if the document itself is invalid.
func (d *Document) Valid() error {
	_, problems := d.validator.ValidateDocument()
	return joined(problems)
}

// Answers returns the documented answers.
func (d *Document) Answers() (all []Answer) {
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			for status := range operation.Responses.Codes.FromOldest() {
				all = append(all, Answer{strings.ToUpper(method), path, status})
			}
		}
	}
	return all
}

// Seen returns how often each documented answer was checked.
func (d *Document) Seen() map[Answer]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[Answer]int{}
	for answer, times := range d.seen {
		all[answer] = times
	}
	return all
}

// Check checks a response against the document and, if the request succeeded, the request too. Undocumented
// paths and methods must be refused. The request's path must be the document's.
func (d *Document) Check(request *http.Request, sent []byte, response *http.Response, body []byte) error {
	r := request.Clone(request.Context())
	// Other headers are chosen by the host and the client.
	r.Header = http.Header{"Content-Type": request.Header["Content-Type"], "Accept": request.Header["Accept"]}
	answer := *response
	fresh := func() {
		r.Body, answer.Body = io.NopCloser(bytes.NewReader(sent)), io.NopCloser(bytes.NewReader(body))
	}
	if request.Method == http.MethodHead {
		r.Method = http.MethodGet
	}
	item, _, path := paths.FindPath(r, d.model, nil)
	if path == "" {
		return d.checkRefusal(response, body, http.StatusNotFound)
	}
	operation, documented := item.GetOperations().Get(strings.ToLower(r.Method))
	if !documented {
		return d.checkRefusal(response, body, http.StatusMethodNotAllowed)
	}
	status := fmt.Sprint(response.StatusCode)
	if _, documented := operation.Responses.Codes.Get(status); !documented {
		return fmt.Errorf("the status %s is not documented: %s", status, body)
	}
	if request.Method == http.MethodHead {
		return nil // no body
	}
	d.mu.Lock()
	d.seen[Answer{r.Method, path, status}]++
	d.mu.Unlock()
	fresh()
	_, problems := d.validator.ValidateHttpResponse(r, &answer)
	if response.StatusCode < http.StatusMultipleChoices {
		fresh()
		_, more := d.validator.ValidateHttpRequestSync(r)
		problems = append(problems, more...)
	}
	return joined(problems)
}

// checkRefusal checks the response to an undocumented path or method: a problem with that status.
func (d *Document) checkRefusal(response *http.Response, body []byte, status int) error {
	kind := response.Header.Get("Content-Type")
	if response.StatusCode != http.StatusUnauthorized && response.StatusCode != status {
		return fmt.Errorf("the path or the method is not documented, and the response is %d %s; want %d",
			response.StatusCode, body, status)
	}
	if status == http.StatusMethodNotAllowed && response.Header.Get("Allow") == "" {
		return errors.New("405 without Allow")
	}
	if !strings.HasSuffix(kind, "json") && !strings.HasPrefix(kind, "text/html") {
		return fmt.Errorf("%d with a body of %q", response.StatusCode, kind)
	}
	return nil
}

func joined(problems []*validation.ValidationError) error {
	var all []error
	for _, problem := range problems {
		text := problem.Message + ": " + problem.Reason
		for _, failure := range problem.SchemaValidationErrors {
			text += "\n  " + failure.FieldPath + " " + failure.Reason
		}
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}

// Transport checks the requests and responses that pass through it.
type Transport struct {
	Document *Document
	// Mounts maps prefixes of a server's paths to paths of the document. Other paths are not checked.
	Mounts map[string]string
	// Next sends the requests; nil means http.DefaultTransport.
	Next http.RoundTripper
	// Report receives the violations.
	Report func(format string, args ...any)
}

// RoundTrip sends a request and checks the response. A truncated body is passed on unchecked.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		sent = raw
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	next := t.Next
	if next == nil {
		next = http.DefaultTransport
	}
	response, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	at, found := t.documented(r)
	if !found {
		return response, nil
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
		return response, nil
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err := t.Document.Check(at, sent, response, body); err != nil {
		t.Report("%s %s: response %d violates the contract: %v", r.Method, r.URL.Path,
			response.StatusCode, err)
	}
	return response, nil
}

// documented returns the request with the document's path. Pages are not part of the contract.
func (t *Transport) documented(r *http.Request) (*http.Request, bool) {
	path := r.URL.EscapedPath()
	prefix := ""
	found := false
	for mount := range t.Mounts {
		if strings.HasPrefix(path, mount) && (!found || len(mount) > len(prefix)) {
			prefix, found = mount, true
		}
	}
	rest := strings.TrimPrefix(path, prefix)
	if !found || rest == "" || rest == "/" && t.Mounts[prefix] == "" || strings.HasPrefix(rest, "/ui") {
		return nil, false
	}
	at := r.Clone(r.Context())
	target, err := at.URL.Parse(t.Mounts[prefix] + rest)
	if err != nil {
		return nil, false
	}
	target.RawQuery = r.URL.RawQuery
	at.URL = target
	return at, true
}

// broken is a truncated body, whose reads return its error.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
