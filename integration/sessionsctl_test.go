package integration

// sessionsctl as a program, on a real server.

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
)

// command returns sessionsctl, or a program that runs it, with the settings of this server.
func (p *provider) command(t *testing.T, name string, arguments ...string) *exec.Cmd {
	t.Helper()
	program := binary(t, "sessionsctl")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(p.adminToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if name == "sessionsctl" {
		name = program
	}
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"),
		"SESSIONSCTL_URL="+p.issuer+"/admin", "SESSIONSCTL_TOKEN_FILE="+token, "SESSIONSCTL_CONFIG=",
		"XDG_CONFIG_HOME="+t.TempDir(), "NO_PROXY=*")
	return command
}

// A script lists, filters, ends, retries deliveries, swaps and backs up, with sessionsctl only.
func TestOperatorsScript(t *testing.T) {
	t.Parallel()
	w := &world{shop: newRelyingParty(t, "shop"), mail: newRelyingParty(t, "mail")}
	w.provider = startProvider(t, []map[string]any{w.shop.registration(), w.mail.registration()},
		[]user{ann, bob}, "-store", "next="+filepath.Join(t.TempDir(), "next"))
	w.shop.discover(t, w.provider)
	w.mail.discover(t, w.provider)
	annsBrowser := newBrowser()
	annsBrowser.signIn(t, w.shop, w.provider, ann)
	annsBrowser.signIn(t, w.mail, w.provider, ann)
	newBrowser().signIn(t, w.shop, w.provider, bob)

	script := w.command(t, "bash", "testdata/operator.sh", ann.Subject, t.TempDir())
	output, err := script.CombinedOutput()
	t.Logf("output of the script:\n%s", output)
	if err != nil {
		t.Fatal(err)
	}
}

// If the reader closes the pipe, the command ends without a message.
func TestOutputIntoAClosedPipe(t *testing.T) {
	t.Parallel()
	p := startProvider(t, []map[string]any{}, []user{ann})
	command := p.command(t, "bash", "-c",
		`sessionsctl backend show -o json | head -c 1; echo "${PIPESTATUS[0]}" >&2`)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	// A short output may be written before the pipe is closed; 141 means ended by SIGPIPE.
	if said := strings.TrimSpace(stderr.String()); said != "0" && said != "141" || stdout.String() != "{" {
		t.Errorf("stdout %q, stderr %q; want only the exit code", &stdout, said)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	closed := p.command(t, "sessionsctl", "backend", "show")
	stderr.Reset()
	closed.Stdout, closed.Stderr = write, &stderr
	err = closed.Run()
	_ = write.Close()
	if err == nil || stderr.Len() > 0 {
		t.Errorf("into a closed pipe: error %v, stderr %q; want no message", err, &stderr)
	}
}

// A dumb terminal gets no control sequences, other terminals get a progress bar.
func TestTerminals(t *testing.T) {
	t.Parallel()
	stores := t.TempDir()
	p := startProvider(t, []map[string]any{}, []user{ann}, "-store", "next="+filepath.Join(stores, "next"),
		"-store", "third="+filepath.Join(stores, "third"))
	for _, c := range []struct {
		term, to string
		escapes  bool
	}{{"dumb", "next", false}, {"xterm", "third", true}} {
		command := p.command(t, "sessionsctl", "backend", "swap", c.to)
		command.Env = append(command.Env, "TERM="+c.term)
		terminal, err := pty.Start(command)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(terminal, "yes\n"); err != nil {
			t.Fatal(err)
		}
		output, _ := io.ReadAll(terminal) // a closed terminal returns EIO
		if err := command.Wait(); err != nil {
			t.Fatalf("TERM=%s: %v\n%s", c.term, err, output)
		}
		_ = terminal.Close()
		text := strings.ReplaceAll(string(output), "\r\n", "\n")
		if got := strings.ContainsAny(text, "\x1b\r"); got != c.escapes {
			t.Errorf("TERM=%s: control sequences %t, want %t in %q", c.term, got, c.escapes, text)
		}
		if !strings.Contains(text, "Type yes to go on") || !strings.Contains(text, "done") {
			t.Errorf("TERM=%s: the terminal shows %q", c.term, text)
		}
	}
}
