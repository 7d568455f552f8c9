//go:build linux

package pgserver_test

// The servers: commits survive a crash, and nothing remains after a test.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func TestMain(m *testing.M) { os.Exit(pgserver.Main(m)) }

func ask(t *testing.T, dsn, question string) (answer string) {
	t.Helper()
	answer, err := answerTo(t.Context(), dsn, question)
	if err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return answer
}

func answerTo(ctx context.Context, dsn, question string) (answer string, err error) {
	connection, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	defer func() { _ = connection.Close(ctx) }()
	err = connection.QueryRow(ctx, question).Scan(&answer)
	return answer, err
}

func TestCommitsSurviveACrash(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if is := ask(t, dsn, "SHOW "+setting); is != "on" {
			t.Errorf("%s is %s, want on", setting, is)
		}
	}
	server.Exec(t, "CREATE SCHEMA "+schema, "CREATE TABLE "+schema+".kept AS SELECT 'here' AS word")
	server.Kill()
	server.Begin(t)
	if word := ask(t, dsn, "SELECT word FROM "+schema+".kept"); word != "here" {
		t.Errorf("after a crash: %q, want the row", word)
	}
	server.Stop()
	server.Begin(t)
	if word := ask(t, dsn, "SELECT word FROM "+schema+".kept"); word != "here" {
		t.Errorf("after a restart: %q, want the row", word)
	}
}

func TestPausedServer(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	server.Pause(t)
	answered := make(chan string, 1)
	go func() {
		answer, err := answerTo(t.Context(), server.DSN("postgres"), "SELECT 'late'")
		answered <- fmt.Sprint(answer, err)
	}()
	select {
	case word := <-answered:
		t.Fatalf("a paused server answered %q", word)
	case <-time.After(200 * time.Millisecond):
	}
	server.Continue()
	if word := <-answered; word != "late<nil>" {
		t.Errorf("the resumed server answered %q", word)
	}
}

func TestCleanup(t *testing.T) {
	t.Parallel()
	var folder string
	t.Run("server", func(t *testing.T) {
		server := pgserver.Start(t)
		folder = server.Folder()
	})
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of a server exists after its test: %v", err)
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip(err)
	}
	testenv.Eventually(t, "no process uses the folder", func() bool {
		for _, process := range processes {
			line, _ := os.ReadFile("/proc/" + process.Name() + "/cmdline")
			if strings.Contains(string(line), folder) {
				return false
			}
		}
		return true
	})
}

func TestTestsShareAServer(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	if again := pgserver.Shared(t); again != server {
		t.Error("a second server")
	}
	dsn, schema := server.Schema(t)
	if _, other := server.Schema(t); other == schema {
		t.Errorf("schema %s was used twice", schema)
	}
	if one := ask(t, dsn, "SELECT '1'"); one != "1" {
		t.Errorf("it answers %q", one)
	}
	role := server.Role(t, "secret")
	if is := ask(t, server.Loopback(role, "secret"), "SELECT current_user::text"); is != role {
		t.Errorf("signed in as %q", is)
	}
	if name := ask(t, server.Database(t), "SELECT current_database()::text"); name == "postgres" {
		t.Error("got the shared database")
	}
}
