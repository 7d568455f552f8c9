package badger_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

const (
	killEnv      = "BADGER_KILL_PATH"
	killFirstEnv = "BADGER_KILL_FIRST"
)

// TestOpensAndClosesUntilItIsKilled is no test of its own: it is the process that is killed.
func TestOpensAndClosesUntilItIsKilled(t *testing.T) {
	path := os.Getenv(killEnv)
	if path == "" {
		t.Skip("it is run by TestKilledAtAnyMoment")
	}
	var next int
	if _, err := fmt.Sscan(os.Getenv(killFirstEnv), &next); err != nil {
		t.Fatal(err)
	}
	for {
		e, err := badger.Open(t.Context(), badger.Settings{Path: path, MinFreeMiB: 1}, nil)
		if err != nil {
			fmt.Println("refused", err)
			return
		}
		fmt.Println("opened")
		for range 3 {
			if err := create(t, e, fmt.Sprint("sid", next)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("made", next)
			next++
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A process that is killed at any moment of opening, writing and closing leaves a store that opens, with all that was acknowledged.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const kills = 25
	path, made, opened := t.TempDir(), 0, 0
	var acknowledged []int
	for range kills {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOpensAndClosesUntilItIsKilled$", "-test.v")
		// A session that was made, and not told, is not made again.
		first := made + 100
		child.Env = append(os.Environ(), killEnv+"="+path, killFirstEnv+"="+fmt.Sprint(first))
		output, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		// The moment counts from the first sign of life, which takes a slow machine a while.
		var timer *time.Timer
		for lines := bufio.NewScanner(output); lines.Scan(); {
			line := lines.Text()
			if timer == nil && strings.HasPrefix(line, "=== RUN") {
				timer = time.AfterFunc(time.Duration(rand.Int64N(int64(300*time.Millisecond))), func() { _ = child.Process.Kill() })
			}
			switch {
			case strings.HasPrefix(line, "refused"):
				t.Error(line)
			case line == "opened":
				opened++
			default:
				if _, err := fmt.Sscanf(line, "made %d", &made); err == nil {
					acknowledged = append(acknowledged, made)
				}
			}
		}
		_ = child.Wait()
		if timer != nil {
			timer.Stop()
		}
		if t.Failed() {
			return
		}
	}
	e := open(t, path)
	for _, number := range acknowledged {
		if _, err := e.Tickets().Find(t.Context(), fmt.Sprint("sid", number)); err != nil {
			t.Errorf("session %d was acknowledged: %v", number, err)
		}
	}
	consistent(t, e)
	t.Logf("opened %d times, %d sessions were acknowledged", opened, len(acknowledged))
}
