//go:build rp

package integration

// The alert rules and the dashboard, checked by Prometheus.

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// promtool runs Prometheus' tool, installed by `make test-rp`, in the folder of the rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "promtool", args...)
	command.Dir = monitoring
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %v: %v\n%s", args, err, output)
	}
}

// The alert rules are valid and pass their test cases.
func TestRealPromtoolChecksAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "alerts.yml")
	promtool(t, "test", "rules", "alerts_test.yml")
}

// Each expression of the dashboard is valid.
func TestRealPromtoolReadsTheDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			rules = append(rules, rule{"panel:expression", target.Expr})
		}
	}
	if len(rules) == 0 {
		t.Fatal("the dashboard has no expressions")
	}
	// JSON is valid YAML.
	encoded, err := json.Marshal(map[string]any{
		"groups": []map[string]any{{"name": "dashboard", "rules": rules}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", "--no-lint-fatal", file)
}
