package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// tryStart starts a server over a data folder and stops it again.
func tryStart(t *testing.T, data string, arguments ...string) error {
	t.Helper()
	o, err := parseOptions(append([]string{"-addr", "127.0.0.1:0", "-data", data}, arguments...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(t.Context(), o, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		return err
	}
	return s.stop(context.Background())
}

// says fails the test unless the error has all texts, or is nil if there are none.
func says(t *testing.T, err error, texts ...string) {
	t.Helper()
	if len(texts) == 0 && err != nil {
		t.Fatalf("start: %v", err)
	}
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Fatalf("start: %v, want an error with %q", err, text)
		}
	}
}

// A data folder without its keys is refused unless the loss is confirmed.
func TestLostKeys(t *testing.T) {
	t.Parallel()
	const issuer = "http://op.example"
	data := filepath.Join(t.TempDir(), "data")
	says(t, tryStart(t, data, "-issuer", issuer))
	secret := filepath.Join(data, "global-secret")
	kept, err := os.ReadFile(secret)
	if err == nil {
		err = os.Remove(secret)
	}
	if err != nil {
		t.Fatal(err)
	}
	says(t, tryStart(t, data, "-issuer", issuer), "-keys-lost", secret)
	says(t, tryStart(t, data, "-issuer", issuer), "-keys-lost", secret)
	other, err := os.ReadFile(secret)
	if err == nil {
		err = os.WriteFile(secret, kept, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	says(t, tryStart(t, data, "-issuer", issuer)) // the key was restored
	if err := os.WriteFile(secret, other, 0o600); err != nil {
		t.Fatal(err)
	}
	says(t, tryStart(t, data, "-issuer", issuer, "-keys-lost"))
	says(t, tryStart(t, data, "-issuer", issuer))
}

// A data folder belongs to one issuer, unless that was renamed.
func TestAnotherIssuer(t *testing.T) {
	t.Parallel()
	const former, renamed = "http://op.example", "https://renamed.example"
	data := filepath.Join(t.TempDir(), "data")
	says(t, tryStart(t, data, "-issuer", former))
	says(t, tryStart(t, data, "-issuer", renamed), "-former-issuers", former, renamed)
	says(t, tryStart(t, data, "-issuer", renamed, "-former-issuers", "https://x.example, "+former))
	says(t, tryStart(t, data, "-issuer", renamed))
	says(t, tryStart(t, data, "-issuer", former), "-former-issuers", former, renamed)
}

// Traces go to a file or over HTTP: other schemes are refused.
func TestTracesToAnotherScheme(t *testing.T) {
	t.Parallel()
	err := tryStart(t, filepath.Join(t.TempDir(), "data"), "-traces", "ftp://collector.example")
	says(t, err, "-traces: ", `"ftp"`, "https")
}

// Traces that a collector refuses are logged like other failures. The error handler is that of the process:
// no other test may run the command meanwhile.
func TestTracesThatAreRefused(t *testing.T) { //nolint:paralleltest // see above
	collector := httptest.NewServer(http.NotFoundHandler())
	defer collector.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, log, ended := &testenv.Log{}, &testenv.Log{}, make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{
			"-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data"), "-traces", collector.URL,
		}, out, log)
	}()
	var address string
	testenv.Eventually(t, "the server serves", func() bool {
		_, after, _ := strings.Cut(out.String(), "\naddress: ")
		var whole bool
		address, _, whole = strings.Cut(after, "\n")
		return whole
	})
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request) // so that there is something to send
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	stop()
	if err := <-ended; err != nil {
		t.Log(err) // the last traces are refused too
	}
	if text := log.String(); !strings.Contains(text, `level=ERROR msg="traces or metrics are not sent"`) {
		t.Errorf("the log says\n%s", text)
	}
}
