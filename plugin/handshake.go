package plugin

// The handshake line of a plugin, and errors that describe a binary that sends none.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
)

// handshakeLine is the first line of a plugin's standard output: go-plugin's handshake if the binary is a
// plugin.
type handshakeLine struct {
	mu   sync.Mutex
	line []byte
	full bool
}

const (
	maxHandshake = 8 << 10
	maxQuoted    = 120
)

func (g *handshakeLine) write(data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.full || len(data) == 0 {
		return
	}
	line, _, ended := bytes.Cut(data, []byte("\n"))
	g.line = append(g.line, line[:min(len(line), maxHandshake-len(g.line))]...)
	g.full = ended || len(g.line) == maxHandshake
}

func (g *handshakeLine) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(g.line), "?"))
}

// errNoHandshake means that a process has neither sent a handshake nor ended.
var errNoHandshake = errors.New("sent no handshake")

// explain replaces go-plugin's error of a failed start with one that describes the binary and the remedy.
func (p *process) explain(ctx context.Context, err error, timeout time.Duration) error {
	if p.pid() == 0 {
		return explainExec(p.path, err)
	}
	ended := p.endedByItself()
	said := p.handshake.String()
	parts := strings.Split(said, "|")
	switch {
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errStartTimeout):
		return p.notReady(timeout)
	case ctx.Err() != nil:
		return ctx.Err()
	case said == "" && ended:
		return p.withLastOutput(fmt.Errorf("ended before its handshake (%s): %s", p.exit(), p.exitReason()))
	case said == "":
		return p.withLastOutput(fmt.Errorf("%w (%s): it is no session plugin, or it hangs: %w",
			errNoHandshake, p.condition(), err))
	case len(parts) < 5:
		return p.withLastOutput(fmt.Errorf("wrote %q instead of a handshake: it is no session plugin",
			said[:min(len(said), maxQuoted)]))
	case parts[0] != fmt.Sprint(goplugin.CoreProtocolVersion):
		return fmt.Errorf("speaks version %.20q of go-plugin's handshake, this host version %d", parts[0],
			goplugin.CoreProtocolVersion)
	case parts[1] != fmt.Sprint(ProtocolVersion):
		return fmt.Errorf("speaks version %.20q of the plugin protocol, this host version %d: "+
			"install a plugin and a host of the same release", parts[1], ProtocolVersion)
	case parts[4] != string(goplugin.ProtocolGRPC):
		return fmt.Errorf("speaks %.20q instead of gRPC: it is no session plugin", parts[4])
	}
	return p.withLastOutput(fmt.Errorf("does not answer: %w", err))
}

// notReady returns the error of a start that took too long.
func (p *process) notReady(timeout time.Duration) error {
	reached := "before its handshake"
	if p.handshake.String() != "" {
		reached = "after its handshake"
	}
	return p.withLastOutput(fmt.Errorf("was not ready within %s (%s, %s): raise StartTimeout if it needs "+
		"longer", timeout, reached, p.condition()))
}

func (p *process) withLastOutput(err error) error {
	if words := p.lastOutput(); words != "" {
		return fmt.Errorf("%w; its last output: %q", err, words)
	}
	return err
}
