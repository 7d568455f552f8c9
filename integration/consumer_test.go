package integration

// The modules of a program that imports the library.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxModules bounds the module graph of a program that imports the library. Nearly all modules are fosite's;
// pgx adds one and its migration library four. With our tools there were more than 560.
const maxModules = 335

// consumer is a program that imports the library.
const consumer = `package main

import (
	_ "` + modulePath + `/hostadapter/admin"
	_ "` + modulePath + `/hostadapter/fositestore"
	_ "` + modulePath + `/plugin"
)

func main() {}
`

var (
	// toolsAndTests are path prefixes of modules that only our tools, our tests and the example use.
	toolsAndTests = []string{
		modulePath + "/integration", modulePath + "/examples", modulePath + "/.ci",
		modulePath + "/hostadapter/admin/cmd", "github.com/schollz",
		"github.com/chromedp", "github.com/coreos/go-oidc", "github.com/pb33f",
		"github.com/bufbuild/buf", "github.com/golangci", "golang.org/x/vuln", "google.golang.org/grpc/cmd",
	}
	// neverOurs are modules that may be required indirectly, but never by our own go.mod.
	neverOurs = []string{
		"go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters", "go.opentelemetry.io/contrib",
		"github.com/spf13/cobra", "github.com/go-playground/validator",
		"github.com/asaskevich/govalidator", "buf.build/go/protovalidate", "github.com/go-chi/chi",
	}
)

// A program that imports the library gets the modules that the library uses, in versions that these modules
// require or that our go.mod requires for a module that it imports: no modules of our tools and tests, and no
// version raised for them.
func TestConsumer(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	ours := readModule(t, root)
	direct := map[string]string{}
	for _, r := range ours.Require {
		if r.Indirect {
			continue
		}
		direct[r.Path] = r.Version
		if under(r.Path, neverOurs) {
			t.Errorf("our go.mod requires %s", r.Path)
		}
	}
	folder := t.TempDir()
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod": fmt.Sprintf("module example.com/consumer\n\ngo %s\n\nrequire %s v0.0.0\n\nreplace "+
			"%[2]s => %s\n",
			ours.Go, modulePath, root),
		"go.sum": string(sums), "main.go": consumer,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runGo(t, folder, "build", "-mod=mod", "-o", os.DevNull, ".")
	modules := strings.Fields(runGo(t, folder,
		"list", "-mod=mod", "-m", "-f", "{{if not .Main}}{{.Path}}@{{.Version}}{{end}}", "all"))
	wanted := map[string]bool{} // versions that modules other than ours require
	for line := range strings.Lines(runGo(t, root, "mod", "graph")) {
		if from, to, _ := strings.Cut(strings.TrimSpace(line), " "); from != modulePath {
			wanted[to] = true
		}
	}
	for _, module := range modules {
		path, version, _ := strings.Cut(module, "@")
		if under(path, toolsAndTests) {
			t.Errorf("a program that imports the library inherits %s", module)
		}
		if path != modulePath && !wanted[module] && direct[path] != version {
			t.Errorf("%s is raised by our go.mod alone, which does not import it", module)
		}
	}
	t.Logf("a program that imports the library has %d modules", len(modules))
	if len(modules) > maxModules {
		t.Errorf("a program that imports the library has %d modules, want at most %d", len(modules),
			maxModules)
	}
}

// module is a go.mod as printed by `go mod edit -json`.
type module struct {
	Go      string
	Require []struct {
		Path, Version string
		Indirect      bool
	}
}

func readModule(t *testing.T, folder string) (m module) {
	t.Helper()
	if err := json.Unmarshal([]byte(runGo(t, folder, "mod", "edit", "-json")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func under(module string, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return below(path)(module) })
}

// runGo runs a go command in a module outside of the workspace and returns its output.
func runGo(t *testing.T, folder string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir, command.Stdout, command.Stderr = folder, &stdout, &stderr
	command.Env = append(os.Environ(), "GOWORK=off")
	if err := command.Run(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}
