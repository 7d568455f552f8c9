package badger_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

const (
	killEnv      = "BADGER_KILL_PATH"
	killFirstEnv = "BADGER_KILL_FIRST"
)

// TestOpenAndCloseUntilKilled is not a test: it is the process that is killed.
func TestOpenAndCloseUntilKilled(t *testing.T) {
	path := os.Getenv(killEnv)
	if path == "" {
		t.Skip("a process of TestKilledAtAnyMoment")
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

// A store whose process was killed while opening, writing or closing opens, and has everything acknowledged.
func TestKilledAtAnyMoment(t *testing.T) {
	testenv.SkipRace(t, "the work is done by another process")
	t.Parallel()
	const kills = 25
	path, made, opened := t.TempDir(), 0, 0
	var acknowledged []int
	for range kills {
		// A session that was created but not reported is not created again.
		first := killFirstEnv + "=" + fmt.Sprint(made+100)
		child := testenv.Start(t, testenv.Self(t, "TestOpenAndCloseUntilKilled", killEnv+"="+path,
			first))
		for line := range child.Lines() {
			switch {
			case strings.HasPrefix(line, "=== RUN"):
				// The delay starts with the first output: starting a process takes long on a slow machine.
				time.AfterFunc(rand.N(300*time.Millisecond), child.Kill)
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
		<-child.Ended()
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
