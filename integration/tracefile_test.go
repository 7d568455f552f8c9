package integration

// The traces and metrics of the example server.

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// tracedSpan is a span in OTLP's JSON encoding.
type tracedSpan struct {
	TraceID, SpanID, ParentSpanID, Name string
	Attributes                          []struct {
		Key   string
		Value map[string]any
	}
}

// readTraces reads a file of OTLP requests in JSON, one per line.
func readTraces(t *testing.T, path string) (spans []tracedSpan) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var request struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []tracedSpan }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	}
	return spans
}

// path returns the names from the root of a span's trace to the span.
func pathTo(spans []tracedSpan, span *tracedSpan) (names []string) {
	for at := span; at != nil; {
		names = append([]string{at.Name}, names...)
		next := slices.IndexFunc(spans, func(s tracedSpan) bool {
			return s.TraceID == at.TraceID && s.SpanID == at.ParentSpanID
		})
		if at = nil; next >= 0 {
			at = &spans[next]
		}
	}
	return names
}

// A removal by an operator is one trace: the request, the host's operation, the call, and the commit in the
// plugin's process. No span names a user.
func TestTraceOfARemoval(t *testing.T) {
	t.Parallel()
	traces := filepath.Join(t.TempDir(), "traces.jsonl")
	p := startDemo(t, "-traces", traces)
	removeSubject(t, p, "nobody-4711")
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil { // the last spans are written then
		t.Fatal(err)
	}
	<-p.process.Ended()
	spans := readTraces(t, traces)
	at := slices.IndexFunc(spans, func(s tracedSpan) bool {
		return s.Name == "commit sync" && slices.Contains(pathTo(spans, &s), "remove sessions")
	})
	if at < 0 {
		t.Fatalf("no span of a commit below one of a removal among %d", len(spans))
	}
	want := []string{
		"POST /admin/sessions/remove", "remove sessions", "sessions.plugin.v1.LogoutService/EndSessions",
		"serve", "commit sync",
	}
	if got := pathTo(spans, &spans[at]); !slices.Equal(got, want) {
		t.Errorf("the commit is below %q, want %q", got, want)
	}
	everything, err := os.ReadFile(traces)
	if err != nil || strings.Contains(string(everything), "nobody-4711") {
		t.Errorf("the traces name the subject (error %v)", err)
	}
}

func removeSubject(t *testing.T, p *provider, subject string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		p.issuer+"/admin/sessions/remove", strings.NewReader(`{"subject_id":"`+subject+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+p.adminToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("remove: status %d: %s", response.StatusCode, body)
	}
}

// metricsOf returns the body and status of /metrics.
func metricsOf(t testing.TB, url, token string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// monitoring is the folder of the alert rules and the dashboard.
const monitoring = "../examples/monitoring"

// metricNames returns the metrics used by the dashboard and the alert rules.
func metricNames(t *testing.T) (names []string) {
	t.Helper()
	for _, file := range []string{"dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join(monitoring, file))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, regexp.MustCompile(`(fosite_sessions|rpc_client)_[a-z_]+`).
			FindAllString(string(text), -1)...)
	}
	slices.Sort(names)
	// The first line of alerts.yml describes all metrics.
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "fosite_sessions_" })
}

// The metrics require the admin token, unless they have their own address.
func TestMetricsOfTheExample(t *testing.T) {
	t.Parallel()
	p := startDemo(t)
	url := p.issuer + "/metrics"
	for _, token := range []string{"", "wrong"} {
		if status, _ := metricsOf(t, url, token); status != http.StatusUnauthorized {
			t.Errorf("with the token %q: status %d, want 401", token, status)
		}
	}
	removeSubject(t, p, "nobody-4711")
	names := metricNames(t)
	testenv.Eventually(t, "the metrics exist and name no user", func() bool {
		_, body := metricsOf(t, url, p.adminToken)
		for _, line := range []string{
			"fosite_sessions_live 0", `fosite_sessions_ended_total{reason="terminated"} 0`,
			"fosite_sessions_backend_up 1", "fosite_sessions_commit_count_total",
			`fosite_sessions_commit_bucket_total{le="+Inf"}`, "fosite_sessions_disk_free_bytes",
			"fosite_sessions_cache_hits_total 0", "fosite_sessions_plugin_restarts_total 0",
			`rpc_client_call_duration_seconds_bucket{rpc_method="sessions.plugin.v1.LogoutService/EndS`,
		} {
			if !strings.Contains(body, line) {
				t.Logf("no %s yet", line)
				return false
			}
		}
		for _, name := range names {
			if !strings.Contains(body, "\n"+name+"{") && !strings.Contains(body, "\n"+name+" ") {
				t.Logf("no %s yet, which the dashboard or an alert uses", name)
				return false
			}
		}
		return !strings.Contains(body, "4711")
	})
}
