package rpc_test

// Every test runs twice: over unary calls, and over the stream that carries them.

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// overStream: calls go over the stream of CallsService.
var overStream bool

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	for _, once := range []string{"test.fuzz", "test.bench", "test.list"} {
		if flag.Lookup(once).Value.String() != "" {
			os.Exit(code)
		}
	}
	if code == 0 {
		fmt.Println("and over the stream of CallsService:")
		overStream = true
		code = m.Run()
	}
	os.Exit(code)
}
